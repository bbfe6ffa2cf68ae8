# SPDX-License-Identifier: GPL-3.0-only
"""Puts the text of a generation together: whole characters, and never a stop text."""

from __future__ import annotations

import codecs
from collections.abc import Iterable

from modeld_llama_cpp.tokens.stops import Stop, StopSearch

_new_decoder = codecs.getincrementaldecoder("utf-8")


class TextStream:
    """Takes the bytes of tokens and gives out the text that is certain.

    Bytes of an unfinished character and text that may be the beginning of a stop text are held
    back until more is known. Bytes that can no longer become a character turn into U+FFFD; a
    character that the end of the generation cuts is left out.
    """

    def __init__(self, stops: Iterable[Stop] = ()) -> None:
        self._decoder = _new_decoder("replace")
        self._searches = [StopSearch(stop) for stop in stops]
        self._withheld = ""
        self.stop_text: str | None = None

    @property
    def stopped(self) -> bool:
        """Return whether a stop text was found, which :attr:`stop_text` has."""
        return self.stop_text is not None

    @property
    def is_whole(self) -> bool:
        """Return whether the bytes so far end with a whole character."""
        return not self._decoder.getstate()[0]

    def push(self, piece: bytes) -> str:
        """Take a token's bytes and return what may be shown. After :attr:`stopped`, nothing."""
        text = self._decoder.decode(piece)
        if not self._searches:
            return text
        if self.stopped or not text:
            return ""
        return self._pass_on(self._withheld + text, [each.push(text) for each in self._searches])

    def push_special(self, token: int) -> str:
        """Take a token that is not shown but may belong to a stop text, as :meth:`push` does."""
        if self.stopped or not self._searches:
            return ""
        return self._pass_on(self._withheld, [each.push_special(token) for each in self._searches])

    def flush(self) -> str:
        """End the text and return the whole characters that were held back."""
        text, self._withheld = self._withheld, ""
        return text

    def _pass_on(self, text: str, found: list[int | None]) -> str:
        """Hold back what may become a stop text, or drop what has become one.

        ``found`` says how many characters of the end a stop text has taken. The one that begins
        first counts.
        """
        taken = max((count for count in found if count is not None), default=None)
        if taken is not None:
            self.stop_text = self._searches[found.index(taken)].written
            self._withheld = ""
            return text[: len(text) - taken]
        safe = len(text) - max(each.held for each in self._searches)
        self._withheld = text[safe:]
        return text[:safe]
