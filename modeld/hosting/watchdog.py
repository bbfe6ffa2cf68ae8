# SPDX-License-Identifier: GPL-3.0-only
"""Decides when a worker hangs. Pure: the time is always an argument, on a monotonic clock."""

from __future__ import annotations

from modeld.hosting.pauses import PauseDetector


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
        self._pauses = PauseDetector(min(stall_timeout_s, cancel_timeout_s) / 10)
        self.interval_s = self._pauses.interval_s
        """How often :meth:`check` wants to be called while :attr:`needed`."""

    @property
    def needed(self) -> bool:
        """Return whether there is anything to watch."""
        return bool(self._running or self._cancelling)

    def started(self, request_id: int, now_s: float) -> None:
        """Note that a request was handed to the worker."""
        if not self.needed:
            # Nothing was due from an idle worker, and nobody has looked at it meanwhile.
            self._progress_s = now_s
            self._pauses.forget()
        self._running.add(request_id)

    def ended(self, request_id: int) -> None:
        """Note that a request is no longer waited for."""
        self._running.discard(request_id)  # if cancelled, the worker still has to say so

    def progress(self, now_s: float) -> None:
        """Note that something came from the worker."""
        self._progress_s = now_s

    def cancelling(self, request_id: int, now_s: float) -> None:
        """Note that the worker was told to give a request up."""
        self._cancelling[request_id] = now_s

    def cancelled(self, request_id: int) -> None:
        """Note that the worker has given a request up."""
        self._cancelling.pop(request_id, None)

    def check(self, now_s: float) -> str | None:
        """Return why the worker must be taken for hung, or ``None``."""
        if self._pauses.was_paused(now_s):
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
