# SPDX-License-Identifier: GPL-3.0-only
"""Drives the real :class:`ModelScheduler` on a virtual clock, from one event to the next.

It does what :class:`~modeld.serving.pool.Pool` and its lifecycle do, without a task: a load ends
after the seconds that it takes, a request after those that it is served, and who has waited for
``max_wait_s`` leaves. No load fails, none slows another, and what closes is gone at once.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, TypeAlias, cast

from modeld.errors import ModeldError, WaitTimeoutError
from modeld.interfaces import EvictionPolicy
from modeld.serving.scheduling.decision import Close, Load
from modeld.serving.scheduling.scheduler import ModelScheduler
from modeld.serving.state.budget import Ledger
from modeld.serving.state.memory_need import MemoryNeed
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.ticket import Queued, Running, Ticket
from modeld.simulation.figures import Figures, Tally
from modeld.simulation.stand_ins import Promise, SimulatedBackend, SimulatedEngine
from modeld.simulation.workload import Arrival, ModelFacts, Workload
from modeld.values import ModelSpec, Options, Value

if TYPE_CHECKING:
    from asyncio import Future

_Happening: TypeAlias = tuple[float, int, Callable[[], None]]


class Rules(Value, frozen=True, kw_only=True):
    """The settings that the scheduler goes by, under their names."""

    max_queue_depth: int = 32
    max_wait_s: float = 120.0
    max_overtake_s: float = 10.0
    min_residence_s: float = 1.0
    max_idle_s: float = 0.0


class Simulation:
    """One run: one policy, one budget. Make a new one for each."""

    def __init__(
        self, workload: Workload, policy: EvictionPolicy, budget_bytes: int, rules: Rules
    ) -> None:
        self._workload = workload
        self._rules = rules
        self._policy = policy.name
        self._scheduler = ModelScheduler(
            Ledger(budget_bytes),
            policy,
            min_residence_s=rules.min_residence_s,
            max_overtake_s=rules.max_overtake_s,
        )
        self._budget_bytes = budget_bytes
        self._backend = SimulatedBackend()
        self._tally = Tally()
        self._now_s = 0.0
        self._wake_s = math.inf
        self._happenings: list[_Happening] = []
        self._numbers = count()
        # Everybody waits for as long at most, so deadlines come in the order of arrivals.
        self._waiting: deque[tuple[ModelEntry, Ticket]] = deque()

    def run(self) -> Figures:
        """Let all requests arrive and end, and return what it has come to."""
        for arrival in self._workload.arrivals:
            self.arrive(arrival)
        return self.finish()

    @property
    def scheduler(self) -> ModelScheduler:
        """Return what decides, with all that it knows now."""
        return self._scheduler

    def arrive(self, arrival: Arrival) -> None:
        """Let everything happen until a request arrives, and then this."""
        self.pass_until(arrival.arrived_s)
        self._now_s = arrival.arrived_s
        self._arrive(arrival)

    def finish(self) -> Figures:
        """Let all requests end, and return what it has come to."""
        while self._happenings or self._waiting:
            self.pass_until(self._next_s())
        return self._tally.figures(self._policy, self._budget_bytes, self._now_s)

    def pass_until(self, until_s: float) -> None:
        """Let everything happen that happens until then."""
        while (next_s := self._next_s()) <= until_s and next_s < math.inf:
            self._now_s = next_s
            while self._happenings and self._happenings[0][0] <= next_s:
                heapq.heappop(self._happenings)[2]()
            while self._waiting and self._waiting[0][1].deadline_s <= next_s:
                self._give_up(*self._waiting.popleft())
            self._decide()

    def _next_s(self) -> float:
        """Return when something happens next; infinite for never."""
        while self._waiting and not _waits(self._waiting[0][1]):
            self._waiting.popleft()
        next_s = self._wake_s
        if self._happenings and self._happenings[0][0] < next_s:
            next_s = self._happenings[0][0]
        if self._waiting and self._waiting[0][1].deadline_s < next_s:
            next_s = self._waiting[0][1].deadline_s
        return next_s

    def _at(self, at_s: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._happenings, (at_s, next(self._numbers), happen))

    def _decide(self) -> None:
        """Ask what can go ahead, and note when that will be done."""
        decision = self._scheduler.decide(self._now_s)
        self._wake_s = decision.wake_s
        for load in decision.loads:
            facts = self._workload.models[load.entry.spec.id]
            self._at(self._now_s + facts.load_seconds, partial(self._loaded, load, facts))
        for close in decision.closes:
            self._at(self._now_s, partial(self._gone, close))
        if decision.loads:
            self._tally.holds(self._scheduler.ledger.held_bytes, self._now_s)

    def _arrive(self, arrival: Arrival) -> None:
        entry = self._scheduler.entries.get(arrival.model) or self._entry(arrival.model)
        self._tally.warm += bool(entry.ready())

        def told(outcome: Running | ModeldError) -> None:
            self._told(entry, ticket, arrival, outcome)

        ticket = Ticket(
            self._now_s,
            cast("Future[Running]", Promise(told)),  # it has what a ticket uses of one
            deadline_s=self._now_s + self._rules.max_wait_s,
        )
        try:
            self._scheduler.join(entry, ticket, self._now_s)
        except ModeldError as exc:
            self._tally.refused[exc.code] += 1
            if entry.has_nothing_left:
                self._decide()  # as the pool does, or entries of refused models would pile up
            return
        self._decide()
        if _waits(ticket):
            self._waiting.append((entry, ticket))

    def _told(
        self, entry: ModelEntry, ticket: Ticket, arrival: Arrival, outcome: Running | ModeldError
    ) -> None:
        """Count a request that has its slot and let it end in time, or count its refusal."""
        if isinstance(outcome, ModeldError):
            self._tally.refused[outcome.code] += 1
            return
        self._tally.waits_s.append(self._now_s - arrival.arrived_s)
        self._at(self._now_s + arrival.service_s, partial(self._end, entry, ticket, self._now_s))

    def _end(self, entry: ModelEntry, ticket: Ticket, started_s: float) -> None:
        entry.queue.took(self._now_s - started_s)
        entry.cooldown.worked(self._now_s)
        ticket.finish(well=True)
        self._scheduler.leave(entry, ticket, self._now_s)

    def _give_up(self, entry: ModelEntry, ticket: Ticket) -> None:
        if not _waits(ticket):
            return
        self._tally.refused[WaitTimeoutError.code] += 1
        ticket.abandon()
        self._scheduler.leave(entry, ticket, self._now_s)

    def _loaded(self, load: Load, facts: ModelFacts) -> None:
        self._tally.loads += 1
        self._tally.load_s += facts.load_seconds
        engine = SimulatedEngine(facts)
        self._scheduler.loaded(load.entry, load.instance, engine, self._now_s)

    def _gone(self, close: Close) -> None:
        self._tally.evicted[close.phase.reason] += 1
        self._scheduler.gone(close.entry, close.instance, self._now_s)
        self._tally.holds(self._scheduler.ledger.held_bytes, self._now_s)

    def _entry(self, model: str) -> ModelEntry:
        """Return a new entry for a model that is not known, or is known no longer."""
        facts = self._workload.models[model]
        entry = ModelEntry(
            ModelSpec(id=model, name=model, path=model),
            self._backend,
            Options(slots=facts.slots),
            MemoryNeed(facts.held_bytes),
            max_queue_depth=self._rules.max_queue_depth,
            max_idle_s=self._rules.max_idle_s or math.inf,
        )
        self._scheduler.entries[model] = entry
        return entry


def _waits(ticket: Ticket) -> bool:
    return isinstance(ticket.phase, Queued)
