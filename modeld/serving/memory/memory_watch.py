# SPDX-License-Identifier: GPL-3.0-only
"""Follows what other programs leave of memory, so that models go before the kernel acts."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from typing import Final

from modeld.hosting.daemon_threads import in_daemon_thread
from modeld.machine.auto_budget import AutoBudget, in_sessions, read_auto_budget, taken_bytes
from modeld.machine.files import Machine
from modeld.serving.memory.gpu_watch import STEPS, GpuWatch
from modeld.serving.memory.neighbours import Neighbours
from modeld.serving.state import phases
from modeld.serving.state.budget import Ledger
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.moving_limit import MovingLimit
from modeld.status import MAIN

LOOK_EVERY_S: Final = 2.0
"""How often the memory is looked at."""

LOOK_AGAIN_S: Final = 1.0
"""How long after a look that has seen less the next one decides."""

log = logging.getLogger("modeld.budget")


class MemoryWatch:
    """Moves the limit of a ``ledger`` that was made to move, and tells other servers what it holds.

    ``workers`` tells the processes that models are in, beside those that the engines of ``entries``
    name, ``sessions`` what this process holds for absent ones, which makes way for models.
    ``limit`` is told each new limit, how it came about, and of which device. ``margin_bytes`` is
    that of the budget of main memory, ``kept_bytes`` what stays free of each device beside it.
    """

    def __init__(
        self,
        machine: Machine,
        ledger: Ledger,
        neighbours: Neighbours,
        *,
        workers: Callable[[], Sequence[int]],
        entries: Mapping[str, ModelEntry],
        limit: Callable[[int, str, str], None],
        sessions: Callable[[], int],
        margin_bytes: int,
        kept_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._machine = machine
        self._ledger = ledger
        self._workers = workers
        self._entries = entries
        self._apply = limit
        self._sessions = sessions
        self._kept_bytes = kept_bytes
        self._neighbours = neighbours
        self._clock = clock
        self._limit: MovingLimit | None = None
        if ledger.main.moves:
            step_bytes = max(1, margin_bytes // STEPS)
            self._limit = MovingLimit(ledger.main.limit_bytes or 0, step_bytes)
        self._gpus = GpuWatch(machine, ledger.gpus, limit=limit, kept_bytes=kept_bytes)
        self._own_bytes = taken_bytes(machine, workers())

    async def run(self) -> None:
        """Look for as long as the task lives; of looks that fail in a row, log the first."""
        failed = False
        while True:
            is_open = self._gpus.may_fall or (self._limit is not None and self._limit.may_fall)
            await asyncio.sleep(LOOK_AGAIN_S if is_open else LOOK_EVERY_S)
            try:
                await self.look()
            except Exception:  # the next look may be luckier, and without any nothing follows
                if not failed:
                    log.exception("the memory could not be looked at; tried again until it can be")
                failed = True
            else:
                failed = False

    async def look(self) -> None:
        """Read what there is now, and let the limit follow."""
        workers = tuple(self._workers())
        # A server that a backend has started leads a session; what it has started is in it.
        servers = self._engine_pids() - {*workers, os.getpid()}
        read = partial(self._read, int(self._ledger.held.main), self._sessions(), workers, servers)
        on_gpus = partial(self._gpus.read, self._gpus.held())
        self._take_in(await in_daemon_thread(read))
        if self._gpus.held():
            self._gpus.take_in(await in_daemon_thread(on_gpus), self._clock())

    def _engine_pids(self) -> set[int]:
        instances = [each for entry in self._entries.values() for each in entry.instances]
        engines = [engine for each in instances for engine in phases.engines(each.phase)]
        return {engine.pid for engine in engines if engine.pid is not None}

    def _read(
        self, held_bytes: int, session_bytes: int, workers: Sequence[int], servers: Set[int]
    ) -> AutoBudget | None:
        pids = {*workers, *in_sessions(self._machine, servers)}
        # What this process held before any model was in it is no model's, where models are in it.
        taken_now_bytes = max(0, taken_bytes(self._machine, pids) - self._own_bytes)
        # What workers take beyond their reservations is others' use: no ledger has counted it.
        models_bytes = min(held_bytes, taken_now_bytes)
        self._neighbours.tell(held_bytes - models_bytes)
        if self._limit is None:
            return None
        ours_bytes = models_bytes + session_bytes
        return read_auto_budget(self._machine, ours_bytes, self._neighbours.hidden_bytes())

    def _take_in(self, seen: AutoBudget | None) -> None:
        if self._limit is None or seen is None or seen.size_bytes is None:
            return
        before = self._limit.limit_bytes
        most_bytes = self._ledger.main.most_bytes
        size_bytes = max(0, seen.size_bytes - self._kept_bytes)
        if most_bytes is not None:  # a machine that was given more since counts from its restart
            size_bytes = min(size_bytes, most_bytes)
        if not self._limit.see(size_bytes, self._clock()):
            return
        limit_bytes = self._limit.limit_bytes
        how = "falls" if limit_bytes < before else "rises"
        log.info("the memory budget %s to %d MiB; %s", how, limit_bytes >> 20, seen.said)
        self._apply(limit_bytes, seen.said, MAIN)
