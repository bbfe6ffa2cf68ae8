# SPDX-License-Identifier: GPL-3.0-only
"""An event loop whose clock leaps: when everybody waits for a time, that time has come.

Hours pass in milliseconds, always the same way. Where everybody waits for something that can
never come, the test fails at once and does not hang. Nothing here may use threads or sockets.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class EverybodyWaitsError(RuntimeError):
    """No task can go on, and no timer is left."""


class LeapingSelector(selectors.SelectSelector):
    """Waits no real time; says how much it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
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
        return self._leaping.now_s


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``, on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def settle() -> None:
    """Return when everything that can happen without time passing has happened."""
    await asyncio.sleep(1e-6)
