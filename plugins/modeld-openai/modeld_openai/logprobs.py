# SPDX-License-Identifier: GPL-3.0-only
"""How probable tokens were, in the forms that the two routes for text have for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modeld.responses import LikelyToken, TokenLogprobs

LEAST_LOGPROB: Final = -9999.0
"""What stands for a probability of 0, whose logarithm JSON cannot say."""

_CONTINUES = 0b1000_0000
_LEAD_BITS = 0b1100_0000


def chat_logprobs(logprobs: Iterable[TokenLogprobs]) -> dict[str, object]:
    """Return tokens as ``/v1/chat/completions`` has them."""
    content = [
        {**_likely(each.chosen), "top_logprobs": [_likely(top) for top in each.top]}
        for each in logprobs
    ]
    return {"content": content, "refusal": None}


class CompletionLogprobs:
    """Tokens as ``/v1/completions`` has them: it counts how far into the text each begins."""

    def __init__(self) -> None:
        self._offset = 0

    def of(self, logprobs: Iterable[TokenLogprobs]) -> dict[str, object]:
        """Return the next tokens."""
        logprobs = tuple(logprobs)
        return {
            "tokens": [_text(each.chosen.piece) for each in logprobs],
            "token_logprobs": [_finite(each.chosen.logprob) for each in logprobs],
            "top_logprobs": [
                {_text(top.piece): _finite(top.logprob) for top in reversed(each.top)}
                for each in logprobs
            ],
            "text_offset": [self._begin(each.chosen.piece) for each in logprobs],
        }

    def _begin(self, piece: bytes) -> int:
        """Return where a token begins; each character counts where its first byte is."""
        begin = self._offset
        self._offset += sum(byte & _LEAD_BITS != _CONTINUES for byte in piece)
        return begin


def _likely(token: LikelyToken) -> dict[str, object]:
    return {
        "token": _text(token.piece),
        "logprob": _finite(token.logprob),
        "bytes": list(token.piece),
    }


def _text(piece: bytes) -> str:
    return piece.decode(errors="replace")


def _finite(logprob: float) -> float:
    """Return a logarithm that JSON can say; what is none counts as the least probable."""
    return min(0.0, logprob) if logprob > LEAST_LOGPROB else LEAST_LOGPROB
