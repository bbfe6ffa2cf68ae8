# SPDX-License-Identifier: GPL-3.0-only
"""Chooses the next token: llama.cpp's sampler chain, one for each request."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence

import llama_cpp

from modeld import Sampling
from modeld.errors import InvalidRequestError
from modeld.values import Value

REPEAT_WINDOW = 64
"""How many of the last tokens the repeat penalty looks at."""

_SEEDS = 2**32 - 1
"""llama.cpp takes seeds of 32 bits, and the highest means a random one."""

_MAX_TOP_K = 2**31 - 1


class Choice(Value, frozen=True):
    """How to choose, with every value decided. The defaults are llama.cpp's."""

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    seed: int = 0


def decide(sampling: Sampling) -> Choice:
    """Fill in the defaults and check the ranges.

    ``top_k`` 0, ``top_p`` 1, ``min_p`` 0 and ``repeat_penalty`` 1 turn these off. Without a seed
    a random one is taken.

    Raises:
        InvalidRequestError: a value is out of range; ``field`` names it.
    """
    given = {
        name: value
        for name in ("temperature", "top_k", "top_p", "min_p", "repeat_penalty")
        if (value := getattr(sampling, name)) is not None
    }
    seed = secrets.randbelow(_SEEDS) if sampling.seed is None else sampling.seed % _SEEDS
    choice = Choice(**given, seed=seed)
    _check("temperature", choice.temperature, 0.0, 100.0)
    _check("top_k", choice.top_k, 0, _MAX_TOP_K)
    _check("top_p", choice.top_p, 0.0, 1.0)
    _check("min_p", choice.min_p, 0.0, 1.0)
    _check("repeat_penalty", choice.repeat_penalty, 0.01, 100.0)
    return choice


def _check(name: str, value: float, lowest: float, highest: float) -> None:
    if not (math.isfinite(value) and lowest <= value <= highest):
        raise InvalidRequestError(
            f"{name} is {value}; it must be from {lowest:g} to {highest:g}", field=name
        )


class Sampler:
    """One request's chain. Must be closed."""

    def __init__(self, choice: Choice, vocabulary_size: int) -> None:
        self._chain = llama_cpp.llama_sampler_chain_init(
            llama_cpp.llama_sampler_chain_default_params()
        )
        self._penalises = choice.repeat_penalty != 1.0
        if self._penalises:
            self._add(
                llama_cpp.llama_sampler_init_penalties(
                    vocabulary_size, REPEAT_WINDOW, choice.repeat_penalty, 0.0, 0.0
                )
            )
        if choice.temperature == 0.0:
            self._add(llama_cpp.llama_sampler_init_greedy())
            return
        if choice.top_k:
            self._add(llama_cpp.llama_sampler_init_top_k(choice.top_k))
        if choice.top_p < 1.0:
            self._add(llama_cpp.llama_sampler_init_top_p(choice.top_p, 1))
        if choice.min_p > 0.0:
            self._add(llama_cpp.llama_sampler_init_min_p(choice.min_p, 1))
        self._add(llama_cpp.llama_sampler_init_temp(choice.temperature))
        self._add(llama_cpp.llama_sampler_init_dist(choice.seed))

    def accept_prompt(self, tokens: Sequence[int]) -> None:
        """Show it the prompt, whose end counts as repeated too."""
        if self._penalises:
            for token in tokens[-REPEAT_WINDOW:]:
                llama_cpp.llama_sampler_accept(self._chain, token)

    def sample(self, context: int, row: int) -> int:
        """Choose a token by the logits of one row of the last batch, and remember it."""
        token: int = llama_cpp.llama_sampler_sample(self._chain, context, row)
        return token

    def close(self) -> None:
        """Free the chain and all in it."""
        llama_cpp.llama_sampler_free(self._chain)

    def _add(self, sampler: int) -> None:
        llama_cpp.llama_sampler_chain_add(self._chain, sampler)
