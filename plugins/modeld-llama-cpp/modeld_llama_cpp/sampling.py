# SPDX-License-Identifier: GPL-3.0-only
"""What a request says about choosing tokens: every value decided and checked."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from modeld import Sampling
from modeld.errors import InvalidRequestError
from modeld.values import Value

MAX_BIASES = 300
"""The most tokens that ``logit_bias`` may name."""

MAX_BIAS = 100.0
"""The most that ``logit_bias`` adds to a logit or takes off it."""

MAX_BREAKERS = 16
"""The most texts in ``dry_sequence_breakers``."""

MAX_BREAKER_BYTES = 40
"""The longest of these texts in UTF-8; llama.cpp would cut off the rest."""

_SEEDS = 2**32 - 1
"""llama.cpp takes seeds of 32 bits, and the highest means a random one."""

_MAX_WINDOW = 2**20

_ALMOST_ZERO = 1e-6


class Range(NamedTuple):
    """The numbers that a value may be; ``above`` leaves out the lowest."""

    lowest: float
    highest: float
    above: bool = False

    def __contains__(self, value: object) -> bool:
        """Whether a number is one of them; NaN never is."""
        assert isinstance(value, (int, float))
        return self.lowest <= value <= self.highest and not (self.above and value == self.lowest)

    def __str__(self) -> str:
        """The range in words, as errors and the documentation have it."""
        if self.above:
            return f"above {self.lowest} and at most {self.highest}"
        return f"from {self.lowest} to {self.highest}"


RANGES = {
    "temperature": Range(0, 5),
    "dynatemp_range": Range(0, 5),
    "dynatemp_exponent": Range(0, 10, above=True),
    "top_p": Range(0, 1, above=True),
    "top_k": Range(0, 2**31 - 1),
    "min_p": Range(0, 1),
    "typical_p": Range(0, 1, above=True),
    "top_n_sigma": Range(0, 100),
    "xtc_probability": Range(0, 1),
    "xtc_threshold": Range(0, 1),
    "mirostat": Range(0, 2),
    "mirostat_tau": Range(0, 100),
    "mirostat_eta": Range(0, 1),
    "repeat_penalty": Range(0.01, 10),
    "repeat_last_n": Range(-1, _MAX_WINDOW),
    "presence_penalty": Range(-2, 2),
    "frequency_penalty": Range(-2, 2),
    "dry_multiplier": Range(0, 10),
    "dry_base": Range(1, 10),
    "dry_allowed_length": Range(1, _MAX_WINDOW),
    "dry_penalty_last_n": Range(-1, _MAX_WINDOW),
}
"""What each number of a request's may be."""


class Choice(Value, frozen=True):
    """How to choose, with every value decided. The defaults are llama.cpp's.

    ``banned`` are the tokens that ``logit_bias`` bans; ``logit_bias`` has only the others.
    """

    temperature: float = 0.8
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    top_p: float = 0.95
    top_k: int = 40
    min_p: float = 0.05
    typical_p: float = 1.0
    top_n_sigma: float = 0.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    logit_bias: tuple[tuple[int, float], ...] = ()
    banned: frozenset[int] = frozenset()
    ignore_eos: bool = False
    seed: int = 0

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken. Lower temperatures overflow llama.cpp's floats."""
        return self.temperature < _ALMOST_ZERO

    @property
    def penalises(self) -> bool:
        """Whether the repeat, presence and frequency penalties change anything."""
        neutral = self.repeat_penalty == 1.0 and not (
            self.presence_penalty or self.frequency_penalty
        )
        return self.repeat_last_n != 0 and not neutral

    @property
    def stops_repetition(self) -> bool:
        """Whether DRY changes anything."""
        return self.dry_multiplier > 0.0 and self.dry_penalty_last_n != 0


def decide(sampling: Sampling, vocabulary_size: int) -> Choice:
    """Fill in the defaults and check the ranges. Without a seed a random one is taken.

    Raises:
        InvalidRequestError: a value is out of range; ``field`` names it.
    """
    seed = secrets.randbelow(_SEEDS) if sampling.seed is None else sampling.seed % _SEEDS
    wished = {name: value for name in RANGES if (value := getattr(sampling, name)) is not None}
    for name, value in wished.items():
        if value not in RANGES[name]:
            raise _wrong(name, f"{name} is {value}; it must be {RANGES[name]}")
    if sampling.dry_sequence_breakers is not None:
        _check_breakers(sampling.dry_sequence_breakers)
        wished["dry_sequence_breakers"] = sampling.dry_sequence_breakers
    _check_biases(sampling.logit_bias, vocabulary_size)
    return Choice(
        **wished,
        logit_bias=tuple((token, bias) for token, bias in sampling.logit_bias if bias is not None),
        banned=frozenset(token for token, bias in sampling.logit_bias if bias is None),
        ignore_eos=sampling.ignore_eos,
        seed=seed,
    )


def _check_breakers(breakers: tuple[str, ...]) -> None:
    field = "dry_sequence_breakers"
    if len(breakers) > MAX_BREAKERS:
        raise _wrong(field, f"{field} has {len(breakers)} texts; at most {MAX_BREAKERS} are taken")
    for number, text in enumerate(breakers):
        size = len(text.encode(errors="replace"))
        if not 1 <= size <= MAX_BREAKER_BYTES:
            raise _wrong(
                field,
                f"{field}[{number}] has {size} bytes; it must have from 1 to {MAX_BREAKER_BYTES}",
            )
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise _wrong(
                field, f"{field}[{number}] has a NUL or half of a surrogate pair; leave it out"
            )


def _check_biases(biases: tuple[tuple[int, float | None], ...], vocabulary_size: int) -> None:
    field, range_ = "logit_bias", Range(-MAX_BIAS, MAX_BIAS)
    if len(biases) > MAX_BIASES:
        raise _wrong(field, f"{field} has {len(biases)} tokens; at most {MAX_BIASES} are taken")
    for token, bias in biases:
        if not 0 <= token < vocabulary_size:
            raise _wrong(
                field,
                f"{field} names token {token}; it must be from 0 to {vocabulary_size - 1},"
                " as the model's vocabulary has it",
            )
        if bias is not None and bias not in range_:
            raise _wrong(
                field, f"{field} of token {token} is {bias}; it must be {range_}, or null for never"
            )


def _wrong(field: str, message: str) -> InvalidRequestError:
    return InvalidRequestError(message, field=field)
