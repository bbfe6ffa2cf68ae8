# SPDX-License-Identifier: GPL-3.0-only
"""A model scheduler with nothing around it: the test makes every arrival, load and end."""

import asyncio
from collections.abc import Mapping
from typing import Any

from modeld import EvictionPolicy
from modeld.requests import KeepAliveSeconds
from modeld.serving.scheduling.decision import Decision
from modeld.serving.state import phases
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Closing, Leaving, Loading, Withdrawn, public_state
from modeld.serving.state.residence import Residence
from modeld.serving.state.ticket import Running, Ticket
from modeld.status import MAIN, EvictionReason, InstanceState
from tests.support.serving.fakes import (
    MIB,
    Clock,
    FakeBackend,
    FakeEngine,
    a_scheduler,
    an_entry,
    mebibytes,
)


class Told:
    """What a decision was, by the models that it is about."""

    def __init__(self, decision: Decision) -> None:
        self.deaths = [death.entry for death in decision.deaths]
        self.measurements = decision.measurements
        self.loads = [load.entry for load in decision.loads]
        self.closes = [close.entry for close in decision.closes]
        self.wake_s = decision.wake_s


class Desk:
    """Drives :class:`ModelScheduler` by hand and checks its invariants after every decision."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        budget_mb: int | None = None,
        moves: bool = False,
        min_residence_s: float = 0.0,
        max_overtake_s: float = 10.0,
        policy: EvictionPolicy | None = None,
        gpus_mb: Mapping[str, int] = {},
    ) -> None:
        self._loop = loop
        self.clock = Clock()
        self.backend = FakeBackend()
        self._tickets: list[Ticket] = []
        self.scheduler = a_scheduler(
            budget_mb=budget_mb,
            moves=moves,
            min_residence_s=min_residence_s,
            max_overtake_s=max_overtake_s,
            policy=policy,
            gpus_mb=gpus_mb,
        )

    def entry(self, model: str, size_mb: int = 100, **choices: Any) -> ModelEntry:
        entry = an_entry(self.backend, model, size_mb=size_mb, **choices)
        self.scheduler.entries[model] = entry
        return entry

    def arrive(
        self,
        entry: ModelEntry,
        *,
        needs_slot: bool = True,
        keep_alive_s: KeepAliveSeconds | None = None,
    ) -> Ticket:
        """Queue a request; nothing is decided yet. Later arrivals are later."""
        self.clock.now_s += 0.001
        ticket = Ticket(
            self.clock.now_s,
            self._loop.create_future(),
            needs_slot=needs_slot,
            keep_alive_s=keep_alive_s,
        )
        self.scheduler.join(entry, ticket, self.clock.now_s)
        self._tickets.append(ticket)
        return ticket

    def request(self, entry: ModelEntry) -> Ticket:
        """Have a request arrive, and what can go ahead goes ahead."""
        ticket = self.arrive(entry)
        self.decide()
        return ticket

    def close(self) -> None:
        """Nobody asks any more how the requests have ended."""
        for ticket in self._tickets:
            ticket.abandon()

    def leave(self, entry: ModelEntry, ticket: Ticket) -> Told:
        self.scheduler.leave(entry, ticket, self.clock.now_s)
        return self.decide()

    def decide(self, after_s: float = 0.0) -> Told:
        self.clock.now_s += after_s
        for entry in self.scheduler.entries.values():
            self.scheduler.touch(entry)  # tests reach into entries
        decision = self.scheduler.decide(self.clock.now_s)
        self.scheduler.check()
        return Told(decision)

    def limit(self, limit_mb: int, device: str = MAIN) -> Told:
        """Have the limit move, as other programs take memory or give it back."""
        self.scheduler.ledger.move_limit(limit_mb * MIB, "others use the rest", device)
        return self.decide()

    def loaded(
        self,
        entry: ModelEntry,
        *,
        held_mb: int = 0,
        slots: int | None = None,
        on_gpus: Mapping[str, int] = {},
    ) -> Told:
        """End the load under way well; ``held_mb`` are those of main memory."""
        held = mebibytes(held_mb, on_gpus)
        engine = FakeEngine(
            slots=slots or entry.queue.slots,
            held_bytes=held.total_bytes,
            held_on_gpus=held.on_gpus,
        )
        self.scheduler.loaded(entry, instance_of(entry), engine, self.clock.now_s)
        return self.decide()

    def gone(self, entry: ModelEntry) -> Told:
        """Note that the model has left memory."""
        assert is_closing(entry), "nothing said that it may be closed"
        self.scheduler.gone(entry, instance_of(entry), self.clock.now_s)
        return self.decide()

    def unload(self, entry: ModelEntry) -> Told:
        assert entry.instances
        self.scheduler.drain(entry, EvictionReason.UNLOAD_REQUESTED)
        return self.decide()

    def resident(self, model: str, size_mb: int = 100, **choices: Any) -> ModelEntry:
        """Return a model that is loaded and idle."""
        entry = self.entry(model, size_mb, **choices)
        self.arrive(entry, needs_slot=False)
        assert entry in self.decide().loads
        self.loaded(entry)
        assert entry.is_idle
        return entry

    def busy(self, model: str, size_mb: int = 100, **choices: Any) -> tuple[ModelEntry, Ticket]:
        """Return a model that is loaded and works on a request."""
        entry = self.resident(model, size_mb, **choices)
        ticket = self.request(entry)
        assert runs(ticket)
        return entry, ticket


def runs(ticket: Ticket) -> bool:
    """Return whether the ticket was granted."""
    return ticket.granted.done() and ticket.granted.exception() is None


def error_of(ticket: Ticket) -> BaseException | None:
    """Return what the ticket failed with, if it did."""
    return ticket.granted.exception() if ticket.granted.done() else None


def instance_of(entry: ModelEntry) -> Instance:
    """Return the one instance that there is of the model."""
    (instance,) = entry.instances
    return instance


def state_of(entry: ModelEntry) -> InstanceState | None:
    return public_state(instance_of(entry).phase) if entry.instances else None


def residence_of(entry: ModelEntry) -> Residence:
    phase = instance_of(entry).phase
    assert not isinstance(phase, Loading | Withdrawn)
    return phase.residence


def engine_of(entry: ModelEntry) -> FakeEngine:
    engine = residence_of(entry).engine
    assert isinstance(engine, FakeEngine)
    return engine


def reason_of(entry: ModelEntry) -> EvictionReason | None:
    """Return why the model leaves memory, if it does."""
    phase = instance_of(entry).phase
    return phase.reason if isinstance(phase, Leaving) else None


def is_closing(entry: ModelEntry) -> bool:
    return bool(entry.instances) and isinstance(instance_of(entry).phase, Closing)


def owner_of(entry: ModelEntry) -> str | None:
    """Return the model whose load counts on the bytes."""
    return phases.owner_of(instance_of(entry).phase)


def started_s(ticket: Ticket) -> float:
    """When the request began."""
    assert isinstance(ticket.phase, Running)
    return ticket.phase.started_s


def drained(*entries: ModelEntry) -> list[str]:
    """Return the models among ``entries`` that take no more requests."""
    return [entry.spec.id for entry in entries if state_of(entry) is InstanceState.DRAINING]
