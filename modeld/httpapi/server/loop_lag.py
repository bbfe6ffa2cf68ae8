# SPDX-License-Identifier: GPL-3.0-only
"""Reports to observers how late the event loop is, and with it every stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from modeld.events import Event, LoopLag

INTERVAL_S = 0.05
"""How long it is from one look to the next."""

LOOKS = 20
"""How many looks one event tells of."""


class LoopLagWatch:
    """Looks at one event loop from :meth:`start` to :meth:`stop`; both may be called again."""

    def __init__(self, notify: Callable[[Event], None]) -> None:
        self._notify = notify
        self._timer: asyncio.TimerHandle | None = None
        self._looks = 0
        self._worst_s = 0.0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, unless it has begun."""
        if self._timer is None:
            self._wait(loop)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        due_s = loop.time() + INTERVAL_S
        self._timer = loop.call_at(due_s, self._look, loop, due_s)

    def _look(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        self._worst_s = max(self._worst_s, loop.time() - due_s)
        self._looks += 1
        if self._looks == LOOKS:
            self._notify(LoopLag(seconds=self._worst_s))
            self._looks, self._worst_s = 0, 0.0
        self._wait(loop)
