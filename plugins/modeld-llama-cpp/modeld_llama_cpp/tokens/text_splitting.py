# SPDX-License-Identifier: GPL-3.0-only
"""Finds where a long text can be split without a change to its tokens.

llama.cpp looks for special tokens first, the longest first, and tokenises each stretch between
them by itself. The time for that grows with the square of their number: a MiB of nothing but
``<|im_end|>`` took 20 s in one go, and 64 pieces of it 7 ms each. Just before a special token a
text can be split: what stands before it ends there in any case, and what follows is read as at the
beginning of a text. That holds unless

- another special token could be found across the split, or across the end of the token after it;
- the token takes the white space before it away, and there is some.

A text without special tokens is not split, as words may reach as far as they like. Its time grows
with its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import ClassVar

from modeld_llama_cpp.chat.longest_match import longest_of


class TextSplitter:
    """Splits texts for one vocabulary.

    ``specials`` are the texts of the special tokens, and whether each takes the white space before
    it away.
    """

    STEP_BYTES: ClassVar[int] = 16 << 10
    """Pieces are at least so long."""

    TRIES: ClassVar[int] = 64
    """One of so many positions must do; else the text stays whole for another step."""

    def __init__(self, specials: Mapping[bytes, bool]) -> None:
        self._longest = max(map(len, specials), default=0)
        self._any = _longest_of(specials)
        self._stripping = frozenset(text for text, strips in specials.items() if strips)

    def pieces(self, text: bytes) -> list[bytes]:
        """Return the text in pieces whose tokens, one after the other, are those of the text."""
        pieces: list[bytes] = []
        start, target = 0, self.STEP_BYTES
        while target < len(text):
            split = self._find(text, target)
            if split is not None:
                pieces.append(text[start:split])
                start = target = split
            target += self.STEP_BYTES
        return [*pieces, text[start:]]

    def _find(self, text: bytes, target: int) -> int | None:
        """Return the first position for a split within a step from ``target`` on."""
        until = target + self.STEP_BYTES + self._longest
        for _ in range(self.TRIES):
            found = self._any.search(text, target, until)
            if found is None:
                return None
            if self._is_exact(text, found.start()):
                return found.start()
            target = found.start() + 1
        return None

    def _is_exact(self, text: bytes, start: int) -> bool:
        """Return whether a special token is read there in any case, and none across its ends."""
        found = self._any.match(text, start)
        assert found is not None
        end = found.end()
        if found[0] in self._stripping and text[start - 1 : start].isspace():
            return False
        return not any(
            (other := self._any.match(text, at)) and other.end() > (start if at < start else end)
            for at in range(max(start - self._longest + 1, 0), end)
            if at != start
        )


def _longest_of(texts: Iterable[bytes]) -> re.Pattern[bytes]:
    # Latin-1 has a character for each byte.
    pattern = longest_of(text.decode("latin-1") for text in texts).pattern
    return re.compile(pattern.encode("latin-1"))
