# SPDX-License-Identifier: GPL-3.0-only
"""Checks a watchdog periodically, and reports a hang."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from modeld.hosting.watchdog import Watchdog


class HangWatch:
    """A watchdog on the event loop, of a worker or of a backend's own engine.

    ``on_hang`` is called with the reason. There is no timer while there is nothing to watch.
    """

    def __init__(
        self,
        stall_timeout_s: float,
        cancel_timeout_s: float,
        on_hang: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watchdog = Watchdog(stall_timeout_s, cancel_timeout_s, clock())
        self._on_hang = on_hang
        self._clock = clock
        self._tick: asyncio.TimerHandle | None = None
        self._has_news = False
        self._is_stopped = False

    @property
    def needed(self) -> bool:
        """Return whether there is anything to watch."""
        return self._watchdog.needed

    def started(self, request_id: int) -> None:
        """Note that a request was handed over."""
        self._watchdog.started(request_id, self._clock())
        self._watch()

    def ended(self, request_id: int) -> None:
        """Note that a request is no longer waited for."""
        self._watchdog.ended(request_id)

    def progress(self) -> None:
        """Note a sign of life. It counts from the next look on: there is one for every frame."""
        self._has_news = True

    def cancelling(self, request_id: int) -> None:
        """Note that a request is to be given up."""
        self._watchdog.cancelling(request_id, self._clock())
        self._watch()

    def cancelled(self, request_id: int) -> None:
        """Note that a request was given up."""
        self._watchdog.cancelled(request_id)

    def stop(self) -> None:
        """Look no more: what closes says nothing, and must not count as hung."""
        self._is_stopped = True
        if self._tick is not None:
            self._tick.cancel()

    def _watch(self) -> None:
        if self._tick is None and not self._is_stopped:
            loop = asyncio.get_running_loop()
            self._tick = loop.call_later(self._watchdog.interval_s, self._check)

    def _check(self) -> None:
        self._tick = None
        now_s = self._clock()
        # First what has come since the last look: after the check it would be too late for an
        # engine that has only just answered.
        if self._has_news:
            self._has_news = False
            self._watchdog.progress(now_s)
        why = self._watchdog.check(now_s)
        if why is not None:
            self._on_hang(why)
        elif self._watchdog.needed:
            self._watch()
