# SPDX-License-Identifier: GPL-3.0-only
"""Workers started ahead, with the runtimes imported, so that a load need not wait for Python."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from modeld.hosting.frames import Prepare
from modeld.hosting.process import WorkerProcess
from modeld.hosting.tasks import TaskSet

REFILL_DELAY_S = 1.0
"""How long after a take the next spare is started: the load that took it needs the cores first."""

log = logging.getLogger("modeld.hosting")


class SparePool:
    """Keeps ``count`` spare workers that have imported ``imports``."""

    def __init__(self, count: int, imports: tuple[str, ...], memory_mb: int = 0) -> None:
        self._count = count
        self._imports = imports
        self._memory_mb = memory_mb
        self._spares: deque[WorkerProcess] = deque()
        self._tasks = TaskSet()
        self._refilling = False

    def __len__(self) -> int:
        return sum(not spare.exited.done() for spare in self._spares)

    async def start(self) -> None:
        """Start all spares; they import on their own time."""
        await self._fill()

    async def take(self) -> WorkerProcess:
        """A worker for a load: a spare that lives, or a fresh one."""
        self._schedule_refill()
        while self._spares:
            spare = self._spares.popleft()
            if not spare.exited.done():
                return spare
        return await self._spawn()

    async def aclose(self) -> None:
        """End all spares and wait until they are gone."""
        await self._tasks.aclose()
        spares = list(self._spares)
        self._spares.clear()
        await asyncio.gather(*(spare.discard() for spare in spares))

    async def _spawn(self) -> WorkerProcess:
        worker = await WorkerProcess.spawn(self._memory_mb)
        worker.send(Prepare(imports=self._imports))
        return worker

    def _schedule_refill(self) -> None:
        if self._count and not self._refilling:
            self._refilling = True
            self._tasks.spawn(self._refill(), "modeld-refill-spares")

    async def _refill(self) -> None:
        await asyncio.sleep(REFILL_DELAY_S)
        self._refilling = False
        await self._fill()

    async def _fill(self) -> None:
        while len(self) < self._count and not self._tasks.is_closed():
            spare = await self._spawn()
            if self._tasks.is_closed():  # while it was spawned
                await spare.discard()
            else:
                self._spares.append(spare)
