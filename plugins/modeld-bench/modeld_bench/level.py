# SPDX-License-Identifier: GPL-3.0-only
"""One number of clients at work: each sends its next request when its last one has ended."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from modeld.terminal import Show
from modeld_bench.outcome import Failed, Outcome

MAX_REQUESTS: Final = 10_000
PAUSE_S: Final = 0.1
"""What a client waits after a failure, so that refusals do not become a flood."""

_TICK_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """When no more requests are sent; what is under way then is waited for."""

    requests: int = MAX_REQUESTS
    duration_s: float = math.inf

    def reached(self, begun: int, elapsed_s: float) -> bool:
        """Return whether as many requests were sent, or as much time is over."""
        return begun >= self.requests or elapsed_s >= self.duration_s

    def fraction(self, ended: int, elapsed_s: float) -> float:
        """Return which part of the work is done, from 0 to 1."""
        return min(1.0, max(ended / self.requests, elapsed_s / self.duration_s))


class Level:
    """``send`` sends one request and returns what became of it."""

    def __init__(self, concurrency: int, end: End, send: Callable[[], Awaitable[Outcome]]) -> None:
        self.concurrency = concurrency
        self.outcomes: list[Outcome] = []
        self.cpu_share = 0.0
        self.begun = 0
        self.complete = False
        self._end = end
        self._send = send
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
        finally:
            self.cpu_share = (time.process_time() - cpu_s) / self._elapsed_s()

    async def _client(self) -> None:
        while not self._end.reached(self.begun, self._elapsed_s()):
            self.begun += 1
            outcome = await self._send()
            self.outcomes.append(outcome)
            if isinstance(outcome, Failed):
                await asyncio.sleep(PAUSE_S)

    async def _tick(self, show: Show) -> None:
        while True:
            show(self._end.fraction(len(self.outcomes), self._elapsed_s()))
            await asyncio.sleep(_TICK_S)

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self._start_s
