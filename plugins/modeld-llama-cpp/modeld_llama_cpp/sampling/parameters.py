# SPDX-License-Identifier: GPL-3.0-only
"""What a request says about choosing tokens: every value checked and decided."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from modeld import Sampling
from modeld.errors import InvalidRequestError
from modeld.sampling import COMMON
from modeld.validation import checked_own_sampling, checked_sampling
from modeld.values import Value
from modeld_llama_cpp.sampling.llama_sampling import LlamaSampling

_SEEDS = 2**32 - 1
"""llama.cpp takes seeds of 32 bits, and the highest means a random one."""

_ALMOST_ZERO = 1e-6


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
        """Return whether the likeliest token is taken.

        At still lower temperatures llama.cpp's floats would overflow.
        """
        return self.temperature < _ALMOST_ZERO

    @property
    def penalises(self) -> bool:
        """Return whether the repeat, presence and frequency penalties change anything."""
        neutral = self.repeat_penalty == 1.0 and not (
            self.presence_penalty or self.frequency_penalty
        )
        return self.repeat_last_n != 0 and not neutral

    @property
    def stops_repetition(self) -> bool:
        """Return whether DRY changes anything."""
        return self.dry_multiplier > 0.0 and self.dry_penalty_last_n != 0


def decide(sampling: Sampling, vocabulary_size: int) -> Choice:
    """Return how to choose, with the defaults filled in and, without a seed, a random one.

    Raises:
        InvalidRequestError: a value is out of range; ``field`` names it.
    """
    sampling = checked_sampling(sampling)
    own = checked_own_sampling(sampling, LlamaSampling)
    _check_tokens(sampling.logit_bias, vocabulary_size)
    return Choice(
        **_wished(sampling, _SAME_IN_BOTH),
        **_wished(own, LlamaSampling.__struct_fields__),
        logit_bias=tuple((token, bias) for token, bias in sampling.logit_bias if bias is not None),
        banned=frozenset(token for token, bias in sampling.logit_bias if bias is None),
        ignore_eos=sampling.ignore_eos,
        seed=secrets.randbelow(_SEEDS) if sampling.seed is None else sampling.seed,
    )


_DECIDED = ("logit_bias", "ignore_eos", "seed")
_SAME_IN_BOTH = tuple(row.name for row in COMMON if row.name not in _DECIDED)


def _wished(sampling: Sampling | LlamaSampling, names: Iterable[str]) -> dict[str, Any]:
    """Return what is set; zero is a wish too."""
    return {name: value for name in names if (value := getattr(sampling, name)) is not None}


def _check_tokens(biases: tuple[tuple[int, float | None], ...], vocabulary_size: int) -> None:
    for token, _ in biases:
        if token >= vocabulary_size:
            raise InvalidRequestError(
                f"logit_bias names token {token}; it must be from 0 to {vocabulary_size - 1},"
                " as the model's vocabulary has it",
                field="logit_bias",
            )
