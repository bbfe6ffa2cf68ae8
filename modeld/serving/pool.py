# SPDX-License-Identifier: GPL-3.0-only
"""Brings models into memory for those who lease them, and takes them out.

The asynchronous skin around :class:`~modeld.serving.scheduling.scheduler.ModelScheduler`: it wakes
the requests, carries out what was decided, and asks again whenever something has happened.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from functools import partial

from modeld.errors import DrainingError, ModeldError
from modeld.events import Event
from modeld.hosting.host import Hosting
from modeld.hosting.tasks import TaskSet
from modeld.plugins.faults import NoteFault, only_logged
from modeld.serving.leasing import Leasing
from modeld.serving.lifecycle import Lifecycle
from modeld.serving.loader import Loader
from modeld.serving.placements import Placements
from modeld.serving.scheduling.rehearsal import rehearse
from modeld.serving.scheduling.scheduler import ModelScheduler
from modeld.serving.session_store import SessionStore
from modeld.serving.state.memory_need import MemoryNeed
from modeld.serving.state.model_entry import ModelEntry
from modeld.status import MAIN, EvictionReason, ModelPlan

log = logging.getLogger("modeld.pool")


class Pool:
    """Runs what ``scheduler`` decides; ``load_timeout_s`` bounds a load's time without progress.

    ``lease`` is :meth:`~modeld.serving.leasing.Leasing.lease`: the way of a request.
    """

    def __init__(
        self,
        scheduler: ModelScheduler,
        hosting: Hosting,
        *,
        load_timeout_s: float,
        notify: Callable[[Event], None],
        sessions: SessionStore | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        note: NoteFault = only_logged,
    ) -> None:
        self.scheduler = scheduler
        self._hosting = hosting
        self._clock = clock
        self._tasks = TaskSet()
        self._lifecycle = Lifecycle(
            scheduler,
            Loader(hosting, sessions, timeout_s=load_timeout_s, notify=notify, note=note),
            self._tasks,
            notify=notify,
            clock=clock,
            decide=self._decide,
            note=note,
        )
        self._placements = Placements()
        self.lease = Leasing(
            scheduler,
            self._placements,
            clock=clock,
            wall_clock=wall_clock,
            decide=self._decide,
            check_open=self._check_open,
        ).lease
        self._wake: asyncio.TimerHandle | None = None
        self._refusal: ModeldError | None = None
        self._changed = asyncio.Event()
        self._measuring = asyncio.Lock()

    @property
    def warm_workers(self) -> int:
        """Return how many workers wait for a load."""
        return self._hosting.warm_workers

    @property
    def evictions_total(self) -> int:
        """Return how many models have left memory since the start, the end not counted."""
        return self._lifecycle.evictions_total

    @property
    def last_error(self) -> str | None:
        """Return why the last load failed or the last engine died, whichever came later."""
        return self._lifecycle.last_error

    async def start(self) -> None:
        """Start the workers that wait for loads."""
        await self._hosting.start()

    async def unload(self, entry: ModelEntry) -> None:
        """Let the model's requests finish, free its memory, and return when it is free.

        Requests that come meanwhile run beside those if these are long, or wait for the next load.
        """
        leaving = list(entry.instances)
        if leaving:
            self.drain(entry, EvictionReason.UNLOAD_REQUESTED)
            # Those that were there, and not whatever is there: who waits may load the model anew.
            await self._until(lambda: not any(each in entry.instances for each in leaving))

    async def plan(self, entry: ModelEntry) -> ModelPlan:
        """Return what a request for the model would bring about now, and change nothing.

        ``entry`` is one in use, or one that was made for this. Where its estimate leaves open
        whether the model fits, it is measured first, as it would be before a load.
        """
        while True:
            self._check_open()
            used = self.scheduler.entries.get(entry.spec.id, entry)
            if used.spec.version == entry.spec.version and used.options == entry.options:
                entry = used  # it came into use meanwhile
            rehearsed = rehearse(self.scheduler, entry, self._clock())
            if not rehearsed.is_open:
                return rehearsed.plan
            need = entry.need
            async with self._measuring:  # one at a time, for each takes a worker
                if not need.is_being_measured:
                    await self._lifecycle.measure_for_plan(entry)
            await self._until(partial(self._is_settled, need))

    def pin(self, entry: ModelEntry, *, pinned: bool) -> None:
        """Keep the model in memory whoever needs the bytes, once it is there; or no longer."""
        entry.pinned = pinned
        self.scheduler.touch(entry)
        self._decide()

    def limit(self, limit_bytes: int, said: str, device: str = MAIN) -> None:
        """Let models hold so much of a device from now on; ``said`` is how that came about."""
        self.scheduler.ledger.move_limit(limit_bytes, said, device)
        self._decide()

    def reconsider(self) -> None:
        """Decide anew: what the scheduler goes by has changed."""
        self._decide()

    def drain(self, entry: ModelEntry, reason: EvictionReason) -> None:
        """Take a model out of memory as soon as its running requests are over."""
        self.scheduler.drain(entry, reason)
        self._decide()  # a file that has changed changes what those who wait get, too

    def vanish(self, entry: ModelEntry, error: ModeldError) -> None:
        """Take a model out of memory that is not there any more, and tell those who wait."""
        self.scheduler.vanish(entry, error)
        self._decide()

    async def finish(self, timeout_s: float) -> None:
        """Refuse everybody who waits or comes, and wait for those who run."""
        self._refusal = DrainingError("the server is shutting down", retry_after_s=1)
        for entry in self.scheduler.entries.values():
            entry.queue.fail(self._refusal)
            self.scheduler.touch(entry)
        entries = self.scheduler.entries.values()
        try:
            async with asyncio.timeout(timeout_s):
                await self._until(lambda: not any(entry.queue.running for entry in entries))
        except TimeoutError:
            running = sum(len(entry.queue.running) for entry in entries)
            log.warning("%d requests were still running after %g s", running, timeout_s)

    async def aclose(self) -> None:
        """End all engines, whoever uses them, and wait until their memory is free."""
        self._refusal = DrainingError("the server is shutting down", retry_after_s=1)
        if self._wake is not None:
            self._wake.cancel()
        # First the tasks: whatever loads or closes an instance has let go of it before it is ended.
        await self._tasks.aclose()
        entries = self.scheduler.entries.values()
        resident = [(entry, instance) for entry in entries for instance in entry.instances]
        await asyncio.gather(*(self._lifecycle.end(*each) for each in resident))
        for entry in entries:
            entry.queue.fail(self._refusal)
        await self._hosting.aclose()
        self._changed.set()

    def _decide(self) -> None:
        """Ask what can go ahead, and set it going."""
        self._changed.set()
        if self._refusal is not None and self._tasks.is_closed():
            return
        now_s = self._clock()
        # Nothing here awaits, so no decision is made while another is carried out.
        decision = self.scheduler.decide(now_s)
        self._placements.settle()
        self._lifecycle.carry_out(decision)
        # The newest decision knows all times that matter. With the older timers kept, each would
        # set the next, and there would be more of them with every request.
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if decision.wake_s < math.inf:
            loop = asyncio.get_running_loop()
            self._wake = loop.call_later(max(0.0, decision.wake_s - now_s), self._decide)

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    def _is_settled(self, need: MemoryNeed) -> bool:
        """Return whether nobody measures a model, or nobody will any more."""
        return not need.is_being_measured or self._tasks.is_closed()

    def _check_open(self) -> None:
        if self._refusal is not None:
            raise self._refusal
