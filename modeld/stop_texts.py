# SPDX-License-Identifier: GPL-3.0-only
"""Finds the stop texts of a request in what is generated for it, for engines of any kind."""

from __future__ import annotations

from collections.abc import Sequence


class StopSearch:
    """Looks for stop texts in a text that comes in pieces, and keeps back what may begin one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._kept = ""

    def push(self, text: str) -> tuple[str, str | None]:
        """Take more text; return what may be shown, and the stop text behind it, if there is one.

        It is the one that is complete first, and of several the longest, however the text is cut.
        """
        text, self._kept = self._kept + text, ""
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            end, start = min(found)
            return text[:start], text[start:end]
        kept = max((_overlap(text, stop) for stop in self._stops), default=0)
        shown = len(text) - kept
        self._kept = text[shown:]
        return text[:shown], None

    def rest(self) -> str:
        """Return what was kept back, because no more comes."""
        kept, self._kept = self._kept, ""
        return kept


def _overlap(text: str, stop: str) -> int:
    """Return how many characters at the end of ``text`` may be the beginning of ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
