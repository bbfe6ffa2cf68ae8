# SPDX-License-Identifier: GPL-3.0-only
"""How probable tokens were, in the forms that the two routes for text have for it."""

from __future__ import annotations

from collections.abc import Iterable

from modeld.dialects.logprobs import finite, piece_text, token_logprobs
from modeld.responses import Piece, Token, TokenLogprobs

_CONTINUES = 0b1000_0000
_LEAD_BITS = 0b1100_0000


def chat_logprobs(logprobs: Iterable[TokenLogprobs]) -> dict[str, object]:
    """Return tokens as ``/v1/chat/completions`` has them."""
    return {"content": token_logprobs(logprobs), "refusal": None}


class ContentLogprobs:
    """Picks the tokens of what is said: none of thinking, of calls or of the marks around them."""

    def __init__(self) -> None:
        self._says = False

    def of(self, piece: Piece) -> tuple[TokenLogprobs, ...]:
        """Return those that come with a piece."""
        if not isinstance(piece, Token):
            self._says = False
            return ()
        picked = piece.logprobs if self._says else _behind_marks(piece)
        self._says = True
        return picked


def _behind_marks(token: Token) -> tuple[TokenLogprobs, ...]:
    """Return those tokens with the first of which a text begins."""
    text, logprobs = token.text.encode(errors="replace"), token.logprobs
    for start in range(len(logprobs) - 1, 0, -1):
        if text in b"".join(each.chosen.piece for each in logprobs[start:]):
            return logprobs[start:]
    return logprobs


class CompletionLogprobs:
    """Tokens as ``/v1/completions`` has them: it counts how far into the text each begins."""

    def __init__(self) -> None:
        self._offset = 0

    def of(self, logprobs: Iterable[TokenLogprobs]) -> dict[str, object]:
        """Return the next tokens."""
        logprobs = tuple(logprobs)
        return {
            "tokens": [piece_text(each.chosen.piece) for each in logprobs],
            "token_logprobs": [finite(each.chosen.logprob) for each in logprobs],
            "top_logprobs": [
                {piece_text(top.piece): finite(top.logprob) for top in reversed(each.top)}
                for each in logprobs
            ],
            "text_offset": [self._begin(each.chosen.piece) for each in logprobs],
        }

    def _begin(self, piece: bytes) -> int:
        """Return where a token begins; each character counts where its first byte is."""
        begin = self._offset
        self._offset += sum(byte & _LEAD_BITS != _CONTINUES for byte in piece)
        return begin
