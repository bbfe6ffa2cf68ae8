# SPDX-License-Identifier: GPL-3.0-only
"""Finds the stop texts of a request in what is generated for it, special tokens among them.

Special tokens are no part of the text. Where a stop text names some, each of them is replaced by a
mark, and the same mark is put where the model chooses that token. So one search finds both kinds,
and a text that only looks like a special token's name stays a text. What a stop text names is read
with the request, in :mod:`.engine.request_reader`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MARKS = range(0xD800, 0xE000)
"""Halves of surrogate pairs, which no generated text has."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Stop:
    """A text that ends a generation. ``marks`` stand for the special tokens in it, by their ids.

    ``written`` is the text as the request has it, where it has special tokens.
    """

    text: str
    marks: Mapping[int, str] = field(default_factory=dict)
    written: str | None = None

    def shown(self, text: str) -> int:
        """Return how many characters of a text are shown: all but the marks."""
        return len(text) - sum(map(text.count, self.marks.values()))


class StopSearch:
    """Looks for one stop text in a text that comes in pieces."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._tail = ""

    @property
    def written(self) -> str:
        """Return the stop text as the request has it."""
        return self._stop.text if self._stop.written is None else self._stop.written

    @property
    def held(self) -> int:
        """Return the number of the last characters that may be the beginning of the stop text."""
        return self._stop.shown(self._tail)

    def push(self, text: str) -> int | None:
        """Take more text and return how many of the last characters the stop text takes, if any."""
        text = self._tail + text
        found = text.find(self._stop.text)
        if found >= 0:
            return self._stop.shown(text[found:])
        self._tail = text[len(text) - _overlap(text, self._stop.text) :]
        return None

    def push_special(self, token: int) -> int | None:
        """Take a special token as :meth:`push` does; it counts where the stop text names it."""
        mark = self._stop.marks.get(token)
        return None if mark is None else self.push(mark)


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of ``text`` may be the beginning of ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
