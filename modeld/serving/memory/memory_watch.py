# SPDX-License-Identifier: GPL-3.0-only
"""Follows what other programs leave of main memory, so that models go before the kernel acts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from modeld.hosting.daemon_threads import in_daemon_thread
from modeld.machine.auto_budget import AutoBudget, read_auto_budget, taken_bytes
from modeld.machine.files import Machine
from modeld.serving.memory.neighbours import Neighbours
from modeld.serving.state.budget import Ledger
from modeld.serving.state.moving_limit import MovingLimit

LOOK_EVERY_S: Final = 2.0
"""How often the memory is looked at."""

LOOK_AGAIN_S: Final = 1.0
"""How long after a look that has seen less the next one decides."""

STEPS: Final = 4
"""A limit moves by a part of the margin, so that the margin has room for what moves nothing."""

log = logging.getLogger("modeld.budget")


class MemoryWatch:
    """Moves the limit of a ``ledger`` that was made to move, and tells other servers what it holds.

    ``pids`` tells the processes that models are in, ``limit`` is told each new limit and how it
    came about. ``margin_bytes`` is that of the budget, ``kept_bytes`` what stays free beside it.
    """

    def __init__(
        self,
        machine: Machine,
        ledger: Ledger,
        neighbours: Neighbours,
        *,
        pids: Callable[[], Sequence[int]],
        limit: Callable[[int, str], None],
        margin_bytes: int,
        kept_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._machine = machine
        self._ledger = ledger
        self._pids = pids
        self._apply = limit
        self._kept_bytes = kept_bytes
        self._neighbours = neighbours
        self._clock = clock
        self._limit: MovingLimit | None = None
        if ledger.moves:
            step_bytes = max(1, margin_bytes // STEPS)
            self._limit = MovingLimit(ledger.limit_bytes or 0, step_bytes)
        self._own_bytes = taken_bytes(machine, pids())

    async def run(self) -> None:
        """Look for as long as the task lives."""
        while True:
            is_open = self._limit is not None and self._limit.may_fall
            await asyncio.sleep(LOOK_AGAIN_S if is_open else LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Read what there is now, and let the limit follow."""
        held_bytes, pids = self._ledger.held_bytes, tuple(self._pids())
        self._take_in(await in_daemon_thread(partial(self._read, held_bytes, pids)))

    def _read(self, held_bytes: int, pids: Sequence[int]) -> AutoBudget | None:
        # What this process held before any model was in it is no model's, where models are in it.
        taken_now_bytes = max(0, taken_bytes(self._machine, pids) - self._own_bytes)
        # What workers take beyond their reservations is others' use: no ledger has counted it.
        models_bytes = min(held_bytes, taken_now_bytes)
        self._neighbours.tell(held_bytes - models_bytes)
        if self._limit is None:
            return None
        return read_auto_budget(self._machine, models_bytes, self._neighbours.hidden_bytes())

    def _take_in(self, seen: AutoBudget | None) -> None:
        if self._limit is None or seen is None or seen.size_bytes is None:
            return
        before = self._limit.limit_bytes
        if not self._limit.see(max(0, seen.size_bytes - self._kept_bytes), self._clock()):
            return
        limit_bytes = self._limit.limit_bytes
        how = "falls" if limit_bytes < before else "rises"
        log.info("the memory budget %s to %d MiB; %s", how, limit_bytes >> 20, seen.said)
        self._apply(limit_bytes, seen.said)
