# SPDX-License-Identifier: GPL-3.0-only
"""A clock that moves when the test says so, and an event loop whose clock leaps.

When everybody in the loop waits for a time, that time has come: hours pass in milliseconds, always
the same way. Where everybody waits for something that can never come, the test fails at once and
does not hang. Nothing in such a loop may use threads or sockets.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Clock:
    """A monotonic clock for whatever takes one as an argument; set ``now_s`` to move it."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now_s


class EverybodyWaitsError(RuntimeError):
    """No task can go on, and no timer is left."""


class LeapingSelector(selectors.SelectSelector):
    """Waits no real time; says how much it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Return what is ready now; else let the time pass that could be waited."""
        ready = super().select(0)
        if not ready and timeout is None:
            raise EverybodyWaitsError
        if not ready and timeout is not None and timeout > 0:
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time."""

    def __init__(self) -> None:
        self._leaping = LeapingSelector()
        super().__init__(self._leaping)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._leaping.now_s


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """Do as ``asyncio.run`` does, on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def now_s() -> float:
    """Return the time of the running loop in seconds."""
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Return when everything that can happen without time passing has happened."""
    await asyncio.sleep(1e-6)
