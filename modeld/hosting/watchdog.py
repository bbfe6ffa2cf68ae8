# SPDX-License-Identifier: GPL-3.0-only
"""Decides when a worker hangs. Pure: the time is always an argument, on a monotonic clock."""

from __future__ import annotations

SHORTEST_INTERVAL_S = 0.02


class Watchdog:
    """Watches the running and the cancelled requests of one worker.

    A worker hangs when requests run and nothing at all has come from it for ``stall_timeout_s``,
    or when it has not given up a cancelled request within ``cancel_timeout_s``. Checks that come
    late (this process was suspended or starved) prove nothing about the worker and start anew.
    """

    def __init__(self, stall_timeout_s: float, cancel_timeout_s: float, now_s: float) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._cancel_timeout_s = cancel_timeout_s
        self._running: set[int] = set()
        self._cancelling: dict[int, float] = {}
        self._progress_s = now_s
        self._checked_s: float | None = None
        shortest = min(stall_timeout_s, cancel_timeout_s)
        self.interval_s = max(shortest / 10, SHORTEST_INTERVAL_S)
        """How often :meth:`check` wants to be called while :attr:`needed`."""

    @property
    def needed(self) -> bool:
        """Whether there is anything to watch."""
        return bool(self._running or self._cancelling)

    def started(self, request_id: int, now_s: float) -> None:
        """A request was handed to the worker."""
        if not self.needed:
            self._progress_s = now_s
            self._checked_s = None
        self._running.add(request_id)

    def ended(self, request_id: int) -> None:
        """A request is no longer waited for."""
        self._running.discard(request_id)

    def progress(self, now_s: float) -> None:
        """Something came from the worker."""
        self._progress_s = now_s

    def cancelling(self, request_id: int, now_s: float) -> None:
        """The worker was told to give a request up."""
        self._cancelling[request_id] = now_s

    def cancelled(self, request_id: int) -> None:
        """The worker has given a request up."""
        self._cancelling.pop(request_id, None)

    def check(self, now_s: float) -> str | None:
        """Why the worker must be taken for hung, or ``None``."""
        last_s, self._checked_s = self._checked_s, now_s
        if last_s is not None and now_s - last_s > 5 * self.interval_s:
            self._forgive(now_s)
            return None
        if self._running and now_s - self._progress_s >= self._stall_timeout_s:
            return f"it made no progress for {self._stall_timeout_s:g} s"
        oldest_s = min(self._cancelling.values(), default=now_s)
        if now_s - oldest_s >= self._cancel_timeout_s:
            return f"it did not give up a cancelled request within {self._cancel_timeout_s:g} s"
        return None

    def _forgive(self, now_s: float) -> None:
        self._progress_s = now_s
        self._cancelling = dict.fromkeys(self._cancelling, now_s)
