# SPDX-License-Identifier: GPL-3.0-only
"""Turns with nothing around them: the test makes every arrival, load and end."""

import asyncio
from typing import Any

from modeld import EvictionPolicy
from modeld.serving.admission import Ticket
from modeld.serving.instance import Place
from modeld.serving.turns import Decision
from modeld.values import EvictionReason, InstanceState
from tests.serving.fakes import MIB, Clock, FakeBackend, FakeEngine, a_place, some_turns


class Desk:
    """Drives :class:`Turns` by hand and checks its invariants after every decision."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        budget_mb: int | None = None,
        min_residence_s: float = 0.0,
        max_overtake_s: float = 10.0,
        policy: EvictionPolicy | None = None,
    ) -> None:
        self._loop = loop
        self.clock = Clock()
        self.backend = FakeBackend()
        self._tickets: list[Ticket] = []
        self.turns = some_turns(
            budget_mb=budget_mb,
            min_residence_s=min_residence_s,
            max_overtake_s=max_overtake_s,
            policy=policy,
        )

    def place(self, model: str, size_mb: int = 100, **choices: Any) -> Place:
        place = a_place(self.backend, model, size_mb=size_mb, **choices)
        self.turns.places[model] = place
        return place

    def arrive(self, place: Place, *, needs_slot: bool = True) -> Ticket:
        """A request stands in line; nothing is decided yet. Later arrivals are later."""
        self.clock.now_s += 0.001
        ticket = Ticket(self.clock.now_s, self._loop.create_future(), needs_slot=needs_slot)
        self.turns.join(place, ticket, self.clock.now_s)
        self._tickets.append(ticket)
        return ticket

    def request(self, place: Place) -> Ticket:
        """A request arrives, and what can go ahead goes ahead."""
        ticket = self.arrive(place)
        self.decide()
        return ticket

    def close(self) -> None:
        """Nobody asks any more how the requests have ended."""
        for ticket in self._tickets:
            ticket.abandon()

    def leave(self, place: Place, ticket: Ticket) -> Decision:
        self.turns.leave(place, ticket, self.clock.now_s)
        return self.decide()

    def decide(self, after_s: float = 0.0) -> Decision:
        self.clock.now_s += after_s
        decision = self.turns.decide(self.clock.now_s)
        self.turns.check()
        return decision

    def loaded(self, place: Place, *, held_mb: int = 0, slots: int | None = None) -> Decision:
        """The load under way ends well."""
        engine = FakeEngine(slots=slots or place.line.slots, held_bytes=held_mb * MIB)
        self.turns.loaded(place, engine, self.clock.now_s)
        return self.decide()

    def gone(self, place: Place) -> Decision:
        """The model has left memory."""
        assert place.instance is not None
        assert place.instance.closing, "nothing said that it may be closed"
        self.turns.gone(place)
        return self.decide()

    def unload(self, place: Place) -> Decision:
        assert place.instance is not None
        place.instance.drain(EvictionReason.UNLOAD_REQUESTED)
        return self.decide()

    def resident(self, model: str, size_mb: int = 100, *, slots: int = 1) -> Place:
        """A model that is loaded and idle."""
        place = self.place(model, size_mb, slots=slots)
        self.arrive(place, needs_slot=False)
        assert place in self.decide().loads
        self.loaded(place)
        assert place.is_idle
        return place

    def busy(self, model: str, size_mb: int = 100) -> tuple[Place, Ticket]:
        """A model that is loaded and works on a request."""
        place = self.resident(model, size_mb)
        ticket = self.request(place)
        assert runs(ticket)
        return place, ticket


def runs(ticket: Ticket) -> bool:
    """Whether the ticket was granted."""
    return ticket.granted.done() and ticket.granted.exception() is None


def error_of(ticket: Ticket) -> BaseException | None:
    """What the ticket failed with, if it did."""
    return ticket.granted.exception() if ticket.granted.done() else None


def state_of(place: Place) -> InstanceState | None:
    return place.instance.state if place.instance else None


def drained(*places: Place) -> list[str]:
    """The models among ``places`` that take no more requests."""
    return [place.spec.id for place in places if state_of(place) is InstanceState.DRAINING]
