# SPDX-License-Identifier: GPL-3.0-only
"""A limit that follows measurements of the machine without their fluctuations. Pure."""

from __future__ import annotations

from typing import Final

RISE_S: Final = 30.0
"""How long there must have been more memory before the limit rises."""


class MovingLimit:
    """Falls with the second look that sees less, and rises when there has been more for a while.

    A worker that exits is gone from the list of processes before its memory is free, so that one
    look may see too little. What differs by less than ``step_bytes`` moves nothing: the margin
    has room for it.
    """

    def __init__(self, limit_bytes: int, step_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self._step_bytes = step_bytes
        self._lower: int | None = None
        self._higher: tuple[float, int] | None = None

    @property
    def may_fall(self) -> bool:
        """Return whether the last look has seen less, and the next one decides."""
        return self._lower is not None

    def see(self, seen_bytes: int, now_s: float) -> bool:
        """Take in what a look has seen; return whether the limit has moved."""
        before = self.limit_bytes
        if abs(seen_bytes - before) < self._step_bytes:
            self._lower = self._higher = None
        elif seen_bytes < before:
            self._higher = None
            self._see_less(seen_bytes)
        else:
            self._lower = None
            self._see_more(seen_bytes, now_s)
        return self.limit_bytes != before

    def _see_less(self, seen_bytes: int) -> None:
        if self._lower is None:
            self._lower = seen_bytes
        else:
            # What both looks have not seen is gone; what one of them has may only have been hidden
            # by a worker that exits.
            self.limit_bytes = max(self._lower, seen_bytes)
            self._lower = None

    def _see_more(self, seen_bytes: int, now_s: float) -> None:
        since_s, least_bytes = self._higher or (now_s, seen_bytes)
        # Only what was there all the time may be promised: a peak would be taken back at once.
        least_bytes = min(least_bytes, seen_bytes)
        self._higher = since_s, least_bytes
        if now_s - since_s >= RISE_S:
            self.limit_bytes = least_bytes
            self._higher = None
