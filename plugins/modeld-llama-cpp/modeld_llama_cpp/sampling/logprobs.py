# SPDX-License-Identifier: GPL-3.0-only
"""How probable the chosen token and the likeliest ones were, before any sampler."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from modeld.responses import LikelyToken, TokenLogprobs
from modeld_llama_cpp.sampling.logits import Row, highest

LOWEST = -9999.0
"""Stands for the logarithm of nothing, which JSON cannot say, and of what is not a number."""


def token_logprobs(
    row: Row, token: int, count: int, piece: Callable[[int], bytes]
) -> TokenLogprobs:
    """Return the log-probability of a token and of the ``count`` likeliest ones, in their order.

    They are the logarithm of the softmax over the whole row. ``piece`` are a token's bytes.
    Every number is finite and none is below :data:`LOWEST`.
    """
    with np.errstate(all="ignore"):
        highest_logit = row.max()
        total = float(highest_logit) + math.log(np.exp(row - highest_logit).sum())

    def likely(token: int) -> LikelyToken:
        logprob = float(row[token]) - total
        return LikelyToken(
            id=token, piece=piece(token), logprob=logprob if logprob > LOWEST else LOWEST
        )

    return TokenLogprobs(
        chosen=likely(token), top=tuple(likely(token) for token in _likeliest(row, count))
    )


def _likeliest(row: Row, count: int) -> list[int]:
    """Return the ids of the highest logits; of equal ones the lower id comes first."""
    if not count:
        return []
    ids = highest(row, count)
    if ids is None:
        ids = np.arange(row.size)
    order = np.argsort(-row[ids], kind="stable")[:count]
    likeliest: list[int] = ids[order].tolist()
    return likeliest
