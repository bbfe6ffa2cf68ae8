# SPDX-License-Identifier: GPL-3.0-only
"""Workers started ahead, with the runtimes imported, so that a load need not wait for Python."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Sequence
from functools import partial
from typing import Final, TypeAlias

from modeld.errors import WorkerCrashedError
from modeld.hosting.channel.frames import Prepare, Prepared, Report
from modeld.hosting.process.worker_process import WorkerProcess
from modeld.hosting.tasks import TaskSet
from modeld.plugins.faults import NoteFault, only_logged

REFILL_DELAY_S = 1.0
"""How long after a take the next warm worker is started: the load that took one
needs the cores first."""

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
MOST_DOUBLINGS: Final = 6

WarmImport: TypeAlias = tuple[str, str]
"""A backend's name and a module that it wants imported ahead."""

log = logging.getLogger("modeld.hosting")


class WarmWorkers:
    """Keeps ``count`` warm workers that have imported ``imports``.

    One that ends by itself is replaced at once; where they keep doing so, after a growing delay,
    until one was taken or none has ended for as long as the longest delay.
    """

    def __init__(
        self,
        count: int,
        imports: Sequence[WarmImport] = (),
        memory_mb: int = 0,
        variables: Collection[str] = (),
        note: NoteFault = only_logged,
    ) -> None:
        self._note = note
        self._count = count
        self._imports = tuple(imports)
        self._memory_mb = memory_mb
        self._variables = variables
        self._warm_workers: deque[WorkerProcess] = deque()
        self._tasks = TaskSet()
        self._refilling = False
        self._deaths = 0
        self._died_s = 0.0
        self._told: set[tuple[str, str, str]] = set()

    def __len__(self) -> int:
        return sum(not warm_worker.exited.done() for warm_worker in self._warm_workers)

    async def start(self) -> None:
        """Start all warm workers; they import on their own time."""
        await self._fill()

    async def take(self) -> WorkerProcess:
        """Return a worker for a load: a warm worker that lives, or a fresh one."""
        self._schedule_refill(REFILL_DELAY_S)
        while self._warm_workers:
            warm_worker = self._warm_workers.popleft()
            if not warm_worker.exited.done():
                self._deaths = 0
                return warm_worker
        return await self._spawn()

    async def aclose(self) -> None:
        """End all warm workers and wait until they are gone."""
        await self._tasks.aclose()
        warm_workers = list(self._warm_workers)
        self._warm_workers.clear()
        await asyncio.gather(*(warm_worker.discard() for warm_worker in warm_workers))

    async def _spawn(self) -> WorkerProcess:
        worker = await WorkerProcess.spawn(self._memory_mb, self._variables)
        worker.on_prepared = self._note_prepared
        worker.on_report = self._on_report
        worker.send(Prepare(imports=self._imports))
        return worker

    def _on_report(self, report: Report) -> None:
        """Take in what comes from a worker that no load has taken yet."""
        if isinstance(report, Prepared):
            self._note_prepared(report)

    def _note_prepared(self, prepared: Prepared) -> None:
        """Blame whose import it is, and once: each new warm worker finds the same."""
        for failed in prepared.failed:
            if failed not in self._told:
                self._told.add(failed)
                backend, module, why = failed
                message = f"backend {backend!r}: its warm import of {module} failed: {why}"
                self._note("backend", backend, message)

    def _schedule_refill(self, delay_s: float) -> None:
        if self._count and not self._refilling and not self._tasks.is_closed():
            self._refilling = True
            self._tasks.spawn(self._refill(delay_s), "modeld-refill-warm-workers")

    async def _refill(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        self._refilling = False  # before the work, so that a take meanwhile asks for another refill
        try:
            await self._fill()
        except OSError as exc:  # no process or descriptor to be had now
            log.warning("no warm worker can be started: %s", exc)
            self._schedule_refill(LONGEST_RETRY_S)

    async def _fill(self) -> None:
        while len(self) < self._count and not self._tasks.is_closed():
            warm_worker = await self._spawn()
            if self._tasks.is_closed() or len(self) >= self._count:  # while it was spawned
                await warm_worker.discard()
            else:
                self._warm_workers.append(warm_worker)
                # Called also where it has ended already, so none that is dead stays in the row.
                warm_worker.exited.add_done_callback(partial(self._on_exit, warm_worker))

    def _on_exit(
        self, warm_worker: WorkerProcess, exited: asyncio.Future[WorkerCrashedError]
    ) -> None:
        """Replace a warm worker that has ended by itself; of a taken one its load learns."""
        if warm_worker not in self._warm_workers or self._tasks.is_closed():
            return
        self._warm_workers.remove(warm_worker)
        delay_s = self._retry_s(asyncio.get_running_loop().time())
        log.warning(
            "the warm worker %d ended before any load: %s; the next starts in %g s",
            warm_worker.pid,
            exited.result().message,
            delay_s,
        )
        self._schedule_refill(delay_s)

    def _retry_s(self, now_s: float) -> float:
        """Return how long to wait after one more death; 0 after the first one in a while."""
        if now_s - self._died_s >= LONGEST_RETRY_S:
            self._deaths = 0
        self._died_s = now_s
        self._deaths += 1
        if self._deaths == 1:
            return 0.0
        doublings = min(self._deaths - 2, MOST_DOUBLINGS)
        return min(FIRST_RETRY_S * 2.0**doublings, LONGEST_RETRY_S)
