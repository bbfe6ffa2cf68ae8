# SPDX-License-Identifier: GPL-3.0-only
"""Reads a text that arrives in pieces, by generators that yield where they need more of it."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Reading: TypeAlias = Generator[None, None, T]
"""Reads a part of the text: yields where it needs more, and returns what it has found."""

SPACES = " \t\r\n"
_SPACES = re.compile(r"[ \t\r\n]+")


class BrokenCallError(Exception):
    """What began like a call is none, or the text has ended inside of it."""


class Reader:
    """The text, of which what comes before a position is read.

    What was read is held until somebody takes it, so that a call that turns out to be none can
    still be given out as text. A part of it is `certain` when it can be given out before its end.
    """

    def __init__(self, text: str = "", *, ended: bool = False) -> None:
        self._text = text
        self._before = 0  # how much of the whole text was dropped
        self._at = 0
        self._held = 0
        self._certain = 0
        self.ended = ended

    def push(self, text: str) -> None:
        """Append a piece, and drop what nobody needs any more."""
        self._text = self._text[self._held :] + text
        self._before += self._held
        self._at -= self._held
        self._certain = max(0, self._certain - self._held)
        self._held = 0

    @property
    def rest(self) -> str:
        """Return what is there and not yet read."""
        return self._text[self._at :]

    @property
    def position(self) -> int:
        """Return how much of the whole text is read."""
        return self._before + self._at

    def since(self, position: int) -> str:
        """Return what was read since a position, which must still be held."""
        return self._text[position - self._before : self._at]

    def advance(self, count: int) -> None:
        """Read on by so many characters, which must be there."""
        self._at += count

    def rewind(self, position: int | None = None) -> None:
        """Read what is held once more, or only what is behind a position."""
        self._at = self._held if position is None else position - self._before

    def take(self) -> str:
        """Return what is held, which is then held no longer."""
        text = self._text[self._held : self._at]
        self._held = self._certain = self._at
        return text

    def ascertain(self) -> None:
        """Declare what was read so far to be certain."""
        self._certain = self._at

    def is_certain(self, position: int) -> bool:
        """Return whether something behind a position is certain."""
        return self._before + self._certain > position

    def drop(self, position: int) -> None:
        """Hold nothing any more of what is before a position."""
        self._held = position - self._before

    def take_certain(self) -> str:
        """Return what is certain and was not taken yet."""
        text = self._text[self._held : self._certain]
        self._held = max(self._held, self._certain)
        return text

    def more(self) -> Reading[bool]:
        """Wait for another piece; return whether there can be one."""
        if self.ended:
            return False
        yield
        return True

    def peek(self) -> Reading[str]:
        """Return the next character, or nothing at the end."""
        while self._at == len(self._text):
            if not (yield from self.more()):
                return ""
        return self._text[self._at]

    def skip(self, mark: str) -> Reading[bool]:
        """Read a mark if it comes next; return whether it did."""
        while True:
            next_ones = self._text[self._at : self._at + len(mark)]
            if next_ones == mark:
                self._at += len(mark)
                return True
            if not mark.startswith(next_ones) or not (yield from self.more()):
                return False

    def expect(self, mark: str) -> Reading[None]:
        """Read a mark that must come next."""
        if not (yield from self.skip(mark)):
            raise BrokenCallError

    def run(self, pattern: re.Pattern[str], *, certain: bool = False) -> Reading[str]:
        """Read as many characters as a pattern matches, which matches each of them alone too.

        With ``certain``, each of them can be given out before the others are there.
        """
        pieces = []
        while (yield from self.peek()) and (found := pattern.match(self._text, self._at)):
            pieces.append(found[0])
            self._at = found.end()
            if certain:
                self._certain = self._at
        return "".join(pieces)

    def skip_spaces(self) -> Reading[None]:
        """Read white space, if there is any."""
        yield from self.run(_SPACES)

    def until(self, *marks: str) -> Reading[tuple[str, str]]:
        """Read up to the first of some marks, and it; return what is before it, and which it is."""
        searched, longest = 0, max(map(len, marks))
        while True:
            found = [(self._text.find(mark, self._at + searched), mark) for mark in marks]
            there = [each for each in found if each[0] >= 0]
            if there:
                index, mark = min(there)
                text = self._text[self._at : index]
                self._at = index + len(mark)
                return text, mark
            searched = max(0, len(self._text) - self._at - longest + 1)
            if not (yield from self.more()):
                raise BrokenCallError


def begun(text: str, mark: str) -> int:
    """Return how many characters at the end of a text may be the beginning of a mark."""
    longest = min(len(mark) - 1, len(text))
    return next((size for size in range(longest, 0, -1) if text.endswith(mark[:size])), 0)
