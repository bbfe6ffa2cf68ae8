# SPDX-License-Identifier: GPL-3.0-only
"""One number of clients at work: each sends its next request when its last one has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from modeld.cli.benchmark.outcome import Failed, Outcome

MAX_REQUESTS: Final = 10_000
PAUSE_S: Final = 0.1
"""What a client waits after a failure, so that refusals do not become a flood."""

_TICK_S: Final = 0.25

Show = Callable[[float], None]
"""Is told now and then which part of the work is done, from 0 to 1."""


class End(Protocol):
    """Decides when the last request has been sent."""

    def reached(self, begun: int, elapsed_s: float) -> bool:
        """Whether no more requests are to be sent."""

    def fraction(self, ended: int, elapsed_s: float) -> float:
        """Which part of the work is done, from 0 to 1."""


class AfterRequests:
    """The end after a number of requests."""

    def __init__(self, requests: int) -> None:
        self._requests = requests

    def reached(self, begun: int, elapsed_s: float) -> bool:  # noqa: ARG002
        """Whether all have been sent."""
        return begun >= self._requests

    def fraction(self, ended: int, elapsed_s: float) -> float:  # noqa: ARG002
        """The part that has ended."""
        return ended / self._requests


class AfterSeconds:
    """The end after a time; what is under way then is waited for."""

    def __init__(self, duration_s: float) -> None:
        self._duration_s = duration_s

    def reached(self, begun: int, elapsed_s: float) -> bool:
        """Whether the time is over, or as many requests were sent as are kept count of."""
        return elapsed_s >= self._duration_s or begun >= MAX_REQUESTS

    def fraction(self, ended: int, elapsed_s: float) -> float:  # noqa: ARG002
        """The part of the time that is over."""
        return min(1.0, elapsed_s / self._duration_s)


class Level:
    """``ask`` sends one request and says what became of it."""

    def __init__(self, concurrency: int, end: End, ask: Callable[[], Awaitable[Outcome]]) -> None:
        self.concurrency = concurrency
        self.outcomes: list[Outcome] = []
        self.cpu_share = 0.0
        self.begun = 0
        self.complete = False
        self._end = end
        self._ask = ask
        self._start_s = 0.0

    async def run(self, show: Show) -> None:
        """Send all requests and wait for their ends."""
        self._start_s = time.perf_counter()
        cpu_s = time.process_time()
        try:
            async with asyncio.TaskGroup() as watch:
                ticking = watch.create_task(self._tick(show))
                async with asyncio.TaskGroup() as clients:
                    for _ in range(self.concurrency):
                        clients.create_task(self._client())
                ticking.cancel()
            self.complete = True
            show(1.0)
        finally:
            self.cpu_share = (time.process_time() - cpu_s) / self._elapsed_s()

    async def _client(self) -> None:
        while not self._end.reached(self.begun, self._elapsed_s()):
            self.begun += 1
            outcome = await self._ask()
            self.outcomes.append(outcome)
            if isinstance(outcome, Failed):
                await asyncio.sleep(PAUSE_S)

    async def _tick(self, show: Show) -> None:
        while True:
            show(self._end.fraction(len(self.outcomes), self._elapsed_s()))
            await asyncio.sleep(_TICK_S)

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self._start_s
