# SPDX-License-Identifier: GPL-3.0-only
"""What each model has held in memory over the last half hour, as a step function."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple


class Change(NamedTuple):
    """From ``time_unix`` on, ``model`` holds ``held_bytes``."""

    sequence: int
    time_unix: float
    model: str
    held_bytes: int


class MemoryHistory:
    """Keeps the changes of the last ``span_s`` seconds, at most ``limit`` of them.

    Older changes are folded into one state, so that the first change that is kept has something to
    start from. Models that hold nothing are not in it: it grows with what is loaded, not with time.
    """

    def __init__(self, *, span_s: float, limit: int) -> None:
        self.span_s = span_s
        self._limit = limit
        self._before: dict[str, int] = {}
        self._changes: deque[Change] = deque()

    def note(self, change: Change) -> None:
        """Add the latest change."""
        self._changes.append(change)
        self.trim(change.time_unix)

    def trim(self, now_unix: float) -> None:
        """Fold away what is older than the span, or more than the limit."""
        while self._changes and (
            len(self._changes) > self._limit or self._changes[0].time_unix < now_unix - self.span_s
        ):
            _apply(self._changes.popleft(), self._before)

    def after(self, sequence: int) -> tuple[dict[str, int], list[Change]]:
        """Return the changes newer than ``sequence``, and what was held just before them."""
        before = dict(self._before)
        newer = []
        for change in self._changes:
            if change.sequence > sequence:
                newer.append(change)
            else:
                _apply(change, before)
        return before, newer


def _apply(change: Change, held: dict[str, int]) -> None:
    if change.held_bytes:
        held[change.model] = change.held_bytes
    else:
        held.pop(change.model, None)
