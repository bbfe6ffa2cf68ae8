# SPDX-License-Identifier: GPL-3.0-only
"""Sends a generation in one piece."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from modeld.errors import InvalidRequestError
from modeld.generation import Whole
from modeld.httpapi.exchange.writing.contained_encoder import ContainedWhole
from modeld.responses import Done, Piece, TokenLogprobs

MOST_WHOLE: Final = 64 << 20
"""Longest generation that can be had in one piece, in characters."""


class Gathered:
    """Gathers a generation as it comes, and tells its encoder of each part."""

    def __init__(self, index: int, encoder: ContainedWhole) -> None:
        self._index = index
        self._encoder = encoder
        self._whole = Whole(MOST_WHOLE)
        self._logprobs: list[TokenLogprobs] = []

    def add(self, piece: Piece) -> None:
        """Keep a piece.

        Raises:
            InvalidRequestError: the generation is too long to be sent in one piece.
        """
        self._encoder.note(self._index, piece)
        self._whole.add(piece)
        if self._whole.is_too_long:
            raise InvalidRequestError(
                f"the response has more than {MOST_WHOLE} characters, the most that can be sent in"
                " one piece; ask for a stream, or set max_tokens",
                field="stream",
            )
        self._logprobs += piece.logprobs

    def completed(self, done: Done) -> Done:
        """Return the end with the probabilities of all tokens, and with all texts."""
        return replace(
            done,
            content=self._whole.content or done.content,
            reasoning=self._whole.reasoning or done.reasoning,
            tool_calls=self._whole.tool_calls or done.tool_calls,
            logprobs=(*self._logprobs, *done.logprobs),
        )
