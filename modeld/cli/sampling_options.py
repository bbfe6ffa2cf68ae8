# SPDX-License-Identifier: GPL-3.0-only
"""Command-line options for how the next token is chosen, with the ranges of ``POST /infer``.

They are written out here because the fields of ``POST /infer`` come with a library that a command
line should not have to wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

from modeld.cli.number import Number
from modeld.values import Sampling

F = TypeVar("F", bound=Callable[..., Any])

_WINDOW: Final = 2**20
_RANDOM_SEED: Final = -1


class _Whole(click.IntRange):
    name = "integer"


class _Option(click.Option):
    section = "Sampling"


_NUMBERS: Final[Mapping[str, tuple[click.ParamType[Any], str]]] = {
    "temperature": (Number(0, 5), "0: always the likeliest token"),
    "dynatemp_range": (Number(0, 5), "how far the temperature moves; 0: not at all"),
    "dynatemp_exponent": (Number(0, 10, min_open=True), "how it moves"),
    "top_p": (Number(0, 1, min_open=True), "likeliest part kept; 1: all"),
    "top_k": (_Whole(0, 2**31 - 1), "likeliest tokens kept; 0: all"),
    "min_p": (Number(0, 1), "least part of the likeliest's chance; 0: none"),
    "typical_p": (Number(0, 1, min_open=True), "most typical part kept; 1: all"),
    "top_n_sigma": (Number(0, 100), "deviations kept below the best; 0: all"),
    "xtc_probability": (Number(0, 1), "how often top choices are dropped"),
    "xtc_threshold": (Number(0, 1), "chance that makes a token a top choice"),
    "mirostat": (_Whole(0, 2), "1 or 2: that version of Mirostat"),
    "mirostat_tau": (Number(0, 100), "surprise that it steers towards"),
    "mirostat_eta": (Number(0, 1), "how fast it steers"),
    "repeat_penalty": (Number(0.01, 10), "above 1: fewer repeats"),
    "repeat_last_n": (_Whole(-1, _WINDOW), "tokens that penalties look at; -1: all"),
    "presence_penalty": (Number(-2, 2), "above 0: fewer tokens that were there"),
    "frequency_penalty": (Number(-2, 2), "the same, for each time"),
    "dry_multiplier": (Number(0, 10), "above 0: fewer repeated passages"),
    "dry_base": (Number(1, 10), "growth of that with their length"),
    "dry_allowed_length": (_Whole(1, _WINDOW), "longest passage that is free"),
    "dry_penalty_last_n": (_Whole(-1, _WINDOW), "tokens that it looks at; -1: all"),
    "seed": (_Whole(_RANDOM_SEED, 2**32 - 2), "makes the answer repeatable; -1: random"),
}
_IGNORE_EOS: Final = "go on where the model would end"


def sampling_options(function: F) -> F:
    """Decorate a command with the options; :func:`sampling` puts their values together."""
    options = [
        _Option([_flag(name), name], type=kind, help=text)
        for name, (kind, text) in _NUMBERS.items()
    ]
    options.append(_Option(["--ignore-eos"], is_flag=True, help=_IGNORE_EOS))
    params = function.__dict__.setdefault("__click_params__", [])
    params.extend(reversed(options))  # click reverses the list, and with it this part
    return function


def sampling(given: Mapping[str, Any]) -> Sampling:
    """What a command was given, as a value."""
    numbers = {name: given[name] for name in _NUMBERS}
    if numbers["seed"] == _RANDOM_SEED:
        numbers["seed"] = None
    return Sampling(ignore_eos=given["ignore_eos"], **numbers)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
