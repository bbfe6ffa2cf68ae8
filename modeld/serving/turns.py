# SPDX-License-Identifier: GPL-3.0-only
"""Whose turn it is: which requests go ahead, which models are loaded, which make room.

Everything here decides and nothing waits: no I/O, no task, no clock but the argument. The pool
calls a verb when something has happened, then :meth:`Turns.decide`, then does what was decided.

The order of things: requests for one model go first come, first served. Models that must be
loaded take turns by their oldest request. A loaded model's later requests may overtake those of a
model that waits for memory (a swap for each request would serve nobody), but not for longer than
``max_overtake_s``; then models in its way take no new requests and make room.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from modeld.errors import ModeldError, QueueFullError, WorkerCrashedError
from modeld.interfaces import Engine, EvictionPolicy
from modeld.serving import refusals
from modeld.serving.admission import Ticket
from modeld.serving.budget import Ledger
from modeld.serving.instance import Instance, Place
from modeld.serving.room import Room, held_bytes
from modeld.values import EvictionReason, InstanceState


@dataclass(slots=True)
class Decision:
    """What the pool has to do now, and when to ask again (on the clock of the arguments)."""

    deaths: list[Place] = field(default_factory=list)
    measurements: list[Place] = field(default_factory=list)
    loads: list[Place] = field(default_factory=list)
    closes: list[Place] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    wake_s: float = math.inf


class Turns:
    """The places of all models in use, the ledger, and the rules."""

    def __init__(
        self,
        ledger: Ledger,
        policy: EvictionPolicy,
        *,
        min_residence_s: float,
        max_overtake_s: float,
    ) -> None:
        self.ledger = ledger
        self.places: dict[str, Place] = {}
        self._room = Room(
            self.places,
            policy,
            min_residence_s=min_residence_s,
            max_overtake_s=max_overtake_s,
        )

    def join(self, place: Place, ticket: Ticket, now_s: float) -> None:
        """A request has arrived.

        Raises:
            ModelExceedsBudgetError: the model can never fit; nobody is evicted for it.
            LoadFailedError: the model failed lately and is left alone for a while.
            QueueFullError: too many wait already.
        """
        wait_s = place.cooldown.remaining_s(now_s)
        if wait_s > 0:
            raise refusals.cools_down(place, wait_s)
        if place.instance is None and self._never_fits(place, now_s):
            raise refusals.never_fits(place, self.ledger)
        try:
            place.line.join(ticket)
        except QueueFullError as exc:
            exc.retry_after_s = place.forecast_s()
            raise

    def leave(self, place: Place, ticket: Ticket, now_s: float) -> None:
        """A request is over, or was given up in line."""
        if ticket in place.line.running and place.instance is not None:
            place.instance.last_used_s = now_s
        place.line.leave(ticket)

    def loaded(self, place: Place, engine: Engine, now_s: float) -> None:
        """A load has ended well. If the model holds more than reserved, room is made first."""
        instance = place.instance
        assert instance is not None
        instance.engine = engine
        instance.measured_bytes = engine.held_bytes
        if not self.is_outdated(place):
            place.need.held_bytes = engine.held_bytes
        instance.ready_s = instance.last_used_s = now_s
        place.line.slots = engine.slots
        place.load_seconds = now_s - instance.started_s
        place.loads_total += 1

    def turn_away(self, place: Place, error: ModeldError) -> None:
        """A load or a measurement has failed, and nothing of it is left. All in line are told."""
        place.last_error = error.message
        place.failure_code = error.code
        place.line.fail(error)

    def ready(self) -> list[Place]:
        """The models that take requests."""
        return self._room.ready()

    def is_outdated(self, place: Place) -> bool:
        """Whether the file has changed since the load of what is (coming) in memory began."""
        return place.instance is not None and place.instance.spec.stamp != place.spec.stamp

    def gone(self, place: Place) -> None:
        """A model has left memory, and its bytes are really free."""
        self._forget(place)

    def decide(self, now_s: float) -> Decision:
        """Everything that can go ahead at ``now_s``."""
        decision = Decision()
        self._notice_deaths(now_s, decision)
        self._settle_growth()
        self._grant(now_s)
        self._start_loads(now_s, decision)
        self._close_drained(decision)
        decision.complaints, self._room.complaints = self._room.complaints, []
        return decision

    def check(self) -> None:
        """State what always holds.

        Raises:
            AssertionError: modeld is broken.
        """
        instances = [place.instance for place in self.places.values() if place.instance]
        assert sum(instance.held_bytes for instance in instances) == self.ledger.held_bytes
        assert self.ledger.free_bytes >= 0
        owned = [victim for place in self.places.values() for victim in place.victims]
        assert len(owned) == len(set(owned)), "a victim has two owners"
        for victim in owned:
            assert victim.state is InstanceState.DRAINING
        for place in self.places.values():
            live = place.instance is not None and place.instance.state is InstanceState.READY
            blocked = place.line.waiting and place.line.waiting[0].needs_slot
            if live and blocked:
                assert len(place.line.running) >= place.line.slots, "a slot is free and not given"

    def _forget(self, place: Place) -> None:
        assert place.instance is not None
        place.instance.reservation.release()
        for other in self.places.values():
            other.victims.discard(place.instance)
        place.instance = None

    def _notice_deaths(self, now_s: float, decision: Decision) -> None:
        """An engine that has died gets no more requests; those in line wait for the next."""
        for place in self.places.values():
            instance = place.instance
            if instance is None or instance.engine is None or instance.closing:
                continue
            failure = _failure(instance.engine)
            if failure is not None and instance.drain_reason is not EvictionReason.WORKER_EXITED:
                instance.state = InstanceState.DRAINING
                instance.drain_reason = EvictionReason.WORKER_EXITED
                place.last_error = failure.message
                place.failure_code = failure.code
                place.line.running.clear()  # a client that still reads its error holds no slot
                place.cooldown.crashed(now_s)
                decision.deaths.append(place)

    def _settle_growth(self) -> None:
        """Make loaded models ready, first counting what they hold beyond their reservation.

        In the order of their loads, so that two which have grown never wait for the same bytes.
        """
        loaded = [
            (place.instance, place)
            for place in self.places.values()
            if place.instance is not None
            and place.instance.engine is not None
            and place.instance.state is InstanceState.LOADING
        ]
        free = self.ledger.free_bytes - self._promised_to_growth()
        free += sum(self._promised(place) for _, place in loaded)
        for instance, place in sorted(loaded, key=lambda pair: pair[0].started_s):
            growth_bytes = instance.growth_bytes
            if growth_bytes <= free:
                instance.reservation.grow_to(instance.measured_bytes)
                instance.state = InstanceState.READY
                place.victims.clear()
                free -= growth_bytes
                continue
            if not self._room.make_to_grow(place, growth_bytes, free):
                self._refuse_growth(place, instance)
            free -= self._promised(place)

    def _refuse_growth(self, place: Place, instance: Instance) -> None:
        """What was loaded goes again; the next load will reserve what was measured."""
        instance.drain(EvictionReason.MAKE_ROOM)
        error: ModeldError = refusals.has_grown(place, instance)
        if not self.ledger.can_ever_hold(instance.measured_bytes):
            error = refusals.never_fits(place, self.ledger)
        place.last_error = error.message
        place.line.fail(error)

    def _grant(self, now_s: float) -> None:
        """Give free slots of ready models to those in line."""
        blocked = [place for place in self.places.values() if place.wants_load]
        for place in self.places.values():
            instance = place.instance
            if instance is None or instance.state is not InstanceState.READY:
                continue
            while (ticket := place.line.next()) is not None:
                instance.last_used_s = now_s
                ticket.grant()
                for other in blocked if ticket.needs_slot else ():
                    if other.overtaken_since_s is None and other.line.oldest_s < ticket.arrived_s:
                        other.overtaken_since_s = now_s

    def _start_loads(self, now_s: float, decision: Decision) -> None:
        """Start what fits, in the order of the oldest requests, and make room for the rest."""
        self._room.release_unwanted()
        wanting = [place for place in self.places.values() if place.wants_load]
        free = self.ledger.free_bytes - self._promised_to_growth()
        # What was evicted for a model is that model's: an older request gets no part of it.
        for place in sorted(wanting, key=lambda place: (not place.has_claim, place.line.oldest_s)):
            cooling_s = place.cooldown.remaining_s(now_s)
            if cooling_s > 0:
                decision.wake_s = min(decision.wake_s, now_s + cooling_s)
            elif place.need.is_open(free, now_s):
                self._have_measured(place, decision)
            elif self._never_fits(place, now_s):
                place.line.fail(refusals.never_fits(place, self.ledger))
            elif place.need.size_bytes <= free:
                free -= place.need.size_bytes
                self._start(place, now_s, decision)
            elif not self._fits_beside_pinned(place):
                place.line.fail(refusals.pinned_in_the_way(place, self._room.pinned_bytes()))
            elif self._room.make(place, free, now_s):
                free -= min(free, max(0, place.need.size_bytes - held_bytes(place.victims)))
            else:
                decision.wake_s = min(decision.wake_s, self._room.next_chance_s(place, now_s))

    def _never_fits(self, place: Place, now_s: float) -> bool:
        """Whether all of the budget would be too little, as far as that is known for good."""
        if place.need.is_open(self.ledger.free_bytes, now_s):
            return False
        return not self.ledger.can_ever_hold(place.need.size_bytes)

    def _fits_beside_pinned(self, place: Place) -> bool:
        return self.ledger.can_ever_hold(place.need.size_bytes + self._room.pinned_bytes())

    def _have_measured(self, place: Place, decision: Decision) -> None:
        """Its turn comes again when it is measured; nobody else waits for that."""
        if not place.need.is_being_measured:
            place.need.begin_measuring()
            decision.measurements.append(place)

    def _promised_to_growth(self) -> int:
        """Free bytes that loaded models take already, beyond what their victims will give."""
        return sum(self._promised(place) for place in self.places.values())

    def _promised(self, place: Place) -> int:
        if place.instance is None:
            return 0
        return max(0, place.instance.growth_bytes - held_bytes(place.victims))

    def _start(self, place: Place, now_s: float, decision: Decision) -> None:
        reservation = self.ledger.reserve(place.spec.id, place.need.size_bytes)
        place.instance = Instance(place.spec, reservation, now_s)
        place.overtaken_since_s = None
        place.has_claim = False
        place.victims.clear()
        decision.loads.append(place)

    def _close_drained(self, decision: Decision) -> None:
        for place in self.places.values():
            instance = place.instance
            if instance is None or instance.closing or instance.engine is None:
                continue
            if instance.state is not InstanceState.DRAINING:
                continue
            died = instance.drain_reason is EvictionReason.WORKER_EXITED
            if died or not place.line.running:
                instance.closing = True
                decision.closes.append(place)


def _failure(engine: Engine) -> WorkerCrashedError | None:
    """How an engine has died; one that cannot say it is as good as dead."""
    try:
        return engine.failure()
    except Exception as exc:  # noqa: BLE001  (a plugin's fault must not stop the server)
        return WorkerCrashedError(f"the engine's failure() raised {exc!r}")
