# SPDX-License-Identifier: GPL-3.0-only
"""Puts an answer's text together from tokens: whole characters, and never a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

_new_decoder = codecs.getincrementaldecoder("utf-8")


class TextStream:
    """Takes the bytes of tokens and gives out the text that is certain.

    Bytes of an unfinished character and text that may be the beginning of a stop string are kept
    back until more is known. Bytes that can no longer become a character turn into U+FFFD.
    """

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._decoder = _new_decoder("replace")
        self._stops = tuple(stops)
        self._kept = ""
        self.stopped = False

    def push(self, piece: bytes) -> str:
        """Take a token's bytes; return what may be shown. After :attr:`stopped`, nothing."""
        return self._pass_on(self._decoder.decode(piece))

    def flush(self) -> str:
        """The answer ends here: return all that was kept back."""
        text = self._pass_on(self._decoder.decode(b"", final=True))
        kept, self._kept = self._kept, ""
        return text + kept

    def _pass_on(self, text: str) -> str:
        if not self._stops:
            return text
        if self.stopped or not text:
            return ""
        text = self._kept + text
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped = True
            self._kept = ""
            return text[: min(found)]
        safe = len(text) - max(_overlap(text, stop) for stop in self._stops)
        self._kept = text[safe:]
        return text[:safe]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of ``text`` may be the beginning of ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
