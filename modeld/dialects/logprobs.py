# SPDX-License-Identifier: GPL-3.0-only
"""The form in which several wires write the probabilities of tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modeld.responses import LikelyToken, TokenLogprobs

LEAST_LOGPROB: Final = -9999.0
"""What stands for a probability of 0, whose logarithm JSON cannot say."""


def token_logprobs(logprobs: Iterable[TokenLogprobs]) -> list[dict[str, object]]:
    """Return tokens, each with the likeliest ones at its place."""
    return [
        {**_likely(each.chosen), "top_logprobs": [_likely(top) for top in each.top]}
        for each in logprobs
    ]


def piece_text(piece: bytes) -> str:
    """Return a token's text, with U+FFFD for what is no whole character."""
    return piece.decode(errors="replace")


def finite(logprob: float) -> float:
    """Return a logarithm that JSON can say; what is none counts as the least probable."""
    return min(0.0, logprob) if logprob > LEAST_LOGPROB else LEAST_LOGPROB


def _likely(token: LikelyToken) -> dict[str, object]:
    return {
        "token": piece_text(token.piece),
        "logprob": finite(token.logprob),
        "bytes": list(token.piece),
    }
