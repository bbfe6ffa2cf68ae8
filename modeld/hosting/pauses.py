# SPDX-License-Identifier: GPL-3.0-only
"""Tells a silent worker from a pause of this process itself. Pure: time is an argument."""

from __future__ import annotations

SHORTEST_INTERVAL_S = 0.02
LATE_INTERVALS = 5
"""A look that comes so many intervals after the last one means that this process stood still."""


class PauseDetector:
    """Notices looks that come late: this process was stopped, suspended or starved in between.

    Such a look proves nothing about anybody else: what they have sent meanwhile may not have been
    read yet, and on a machine that was suspended they stood still too.
    """

    def __init__(self, interval_s: float) -> None:
        self.interval_s = max(interval_s, SHORTEST_INTERVAL_S)
        """How often to look at least."""
        self._looked_s: float | None = None

    def forget(self) -> None:
        """Take the next look for the first, because nobody looks for a while."""
        self._looked_s = None

    def was_paused(self, now_s: float) -> bool:
        """Look at the clock, and return whether the last look was too long ago."""
        last_s, self._looked_s = self._looked_s, now_s
        return last_s is not None and now_s - last_s > LATE_INTERVALS * self.interval_s


class Silence:
    """How long something has given no sign of life, pauses of this process left out.

    Call :meth:`is_over` after every :meth:`wait_s`. It never gives up at one look alone: what has
    been sent may wait in a socket, and timers may be called before sockets are read.
    """

    def __init__(self, limit_s: float, now_s: float) -> None:
        self.limit_s = limit_s
        self._since_s = now_s
        self._pauses = PauseDetector(limit_s / 10)
        self._pauses.was_paused(now_s)
        self._is_suspected = False

    def sign(self, now_s: float) -> None:
        """Note a sign of life."""
        self._since_s = now_s
        self._is_suspected = False

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait before the next look."""
        left_s = self._since_s + self.limit_s - now_s
        return min(max(left_s, SHORTEST_INTERVAL_S), self._pauses.interval_s)

    def is_over(self, now_s: float) -> bool:
        """Return whether the silence has lasted for the limit."""
        # As good as a sign of life: nobody could have been heard while this process stood still.
        if self._pauses.was_paused(now_s):
            self.sign(now_s)
        if now_s - self._since_s < self.limit_s:
            return False
        was_suspected, self._is_suspected = self._is_suspected, True
        return was_suspected
