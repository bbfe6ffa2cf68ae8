# SPDX-License-Identifier: GPL-3.0-only
"""Which requests go ahead, which models are loaded, and which leave memory for them.

Everything here decides and nothing waits: no I/O, no task, no clock but the argument. The pool
calls a verb when something has happened, then :meth:`ModelScheduler.decide`, then does what was
decided.

The order of things: requests for one model go first come, first served. Models that must be loaded
are served by their priority, and fairly among equals: who has been loaded fewer times is next, then
who has waited longer for memory. A loaded model goes on serving while others wait (a swap for each
request would serve nobody), but not for longer than its term: the ``max_overtake_s`` that one may
be overtaken, shared by all that wait. Then it is evicted. What it works on then, it finishes; see
:mod:`modeld.serving.scheduling.backfill` for what it may take on meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy, deepcopy
from typing import Any, assert_never

from modeld.errors import ModeldError, QueueFullError
from modeld.interfaces import Engine, EvictionPolicy
from modeld.serving.scheduling import refusals
from modeld.serving.scheduling.absent import Absent, Totals
from modeld.serving.scheduling.deaths import notice_deaths
from modeld.serving.scheduling.decision import Close, Decision
from modeld.serving.scheduling.entry_index import EntryIndex
from modeld.serving.scheduling.eviction.expiry import Expiry
from modeld.serving.scheduling.eviction.planner import EvictionPlanner
from modeld.serving.scheduling.eviction.pressure import Pressure
from modeld.serving.scheduling.eviction.terms import Terms
from modeld.serving.scheduling.forecast import Forecast
from modeld.serving.scheduling.grants import Grants
from modeld.serving.scheduling.growth import Growth
from modeld.serving.scheduling.invariants import check
from modeld.serving.scheduling.load_planner import LoadPlanner
from modeld.serving.scheduling.waiting_order import WaitingOrder
from modeld.serving.state.budget import Ledger
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import (
    Closing,
    Discarded,
    Draining,
    Loaded,
    Loading,
    Ready,
    Withdrawn,
    owner_of,
)
from modeld.serving.state.ticket import Ticket, running_on
from modeld.status import EvictionReason
from modeld.values import ModelSpec


class ModelScheduler:
    """The entries of all models in use, the ledger, and the rules."""

    def __init__(
        self,
        ledger: Ledger,
        policy: EvictionPolicy,
        *,
        min_residence_s: float,
        max_overtake_s: float,
    ) -> None:
        self.ledger = ledger
        self.policy = policy
        self.entries: dict[str, ModelEntry] = {}
        self.index = index = EntryIndex()
        self._absent = Absent(self.entries)
        self._terms = Terms(index, min_residence_s=min_residence_s, max_overtake_s=max_overtake_s)
        self._eviction = EvictionPlanner(self.entries, index, self._terms, policy)
        self._expiry = Expiry(index)
        waiting = WaitingOrder(index, self._terms)
        self._forecast = Forecast(index, ledger, self._terms, waiting)
        self._grants = Grants(index, self._terms)
        self._growth = Growth(index, ledger, self._eviction, self._forecast)
        self._pressure = Pressure(index, ledger, self._eviction)
        self._loads = LoadPlanner(
            index,
            ledger,
            self._terms,
            eviction=self._eviction,
            growth=self._growth,
            waiting=waiting,
        )

    def reconfigure(
        self, policy: EvictionPolicy, *, min_residence_s: float, max_overtake_s: float
    ) -> None:
        """Go on with another policy and other times; the next decision looks at all models."""
        self.policy = self._eviction.policy = policy
        self._terms.reconfigure(min_residence_s=min_residence_s, max_overtake_s=max_overtake_s)
        for entry in self.entries.values():
            self.index.touch(entry)

    def join(self, entry: ModelEntry, ticket: Ticket, now_s: float) -> None:
        """Queue a request that has arrived.

        Raises:
            ModelExceedsBudgetError: the model can never fit, or only with less than it is
                configured for, which the request does not take; nobody is evicted for it.
            BudgetExceededError: other programs leave too little memory for it now.
            LoadFailedError: the model failed lately and is left alone for a while.
            QueueFullError: too many wait already.
        """
        self._absent.recall(entry)
        # Before anything can be refused: an entry that was made for a request that is refused must
        # be looked at once more, or nobody would ever forget it.
        self.index.touch(entry)
        wait_s = entry.cooldown.remaining_s(now_s)
        if wait_s > 0:
            raise refusals.cools_down(entry, wait_s)
        if not entry.instances and (refusal := self._loads.refusal(entry, now_s)) is not None:
            raise refusal
        if not ticket.takes_fitted and entry.fitting is not None:
            raise refusals.fit_forbidden(entry, entry.fitting, self.ledger)
        if entry.queue.is_empty:
            self._loads.enter(entry)
        try:
            entry.queue.join(ticket)
        except QueueFullError as exc:
            exc.retry_after_s = self._forecast.queue_s(entry, now_s)
            raise
        if ticket.needs_slot:
            entry.demand.note(now_s)

    def forecast_s(self, entry: ModelEntry, now_s: float) -> float | None:
        """Return in how many seconds a request that came now would have a slot, or ``None``."""
        return self._forecast.slot_s(entry, now_s)

    def touch(self, entry: ModelEntry) -> None:
        """Note that something has happened to a model; the next decision looks at it."""
        self.index.touch(entry)

    def drain(self, entry: ModelEntry, reason: EvictionReason) -> None:
        """Take a model out of memory as soon as what runs on it is over."""
        for instance in entry.instances:
            instance.leave(reason, entry.queue.running)
        self.index.touch(entry)

    def leave(self, entry: ModelEntry, ticket: Ticket, now_s: float) -> None:
        """Note that a request is over, or was given up in the queue."""
        running = entry.queue.leave(ticket)
        if running is not None:
            running.residence.last_used_s = now_s
        self.index.touch(entry)

    def loaded(self, entry: ModelEntry, instance: Instance, engine: Engine, now_s: float) -> None:
        """Note that a load has ended well.

        The instance takes requests once all that it holds is counted, with the next decision.
        """
        residence = instance.end_load(engine, now_s)
        # What another version of the file holds says nothing of the present one.
        if not entry.is_outdated(instance):
            entry.need.held = residence.measured
        entry.queue.slots = min(engine.slots, entry.options.slots or engine.slots)
        entry.load_seconds = residence.load_seconds
        entry.loads_total += 1
        self._forecast.learn(entry.load_seconds, instance.held_bytes)
        self.index.touch(entry)

    def refuse(self, entry: ModelEntry, error: ModeldError) -> None:
        """Tell all who wait of a load or a measurement that failed, of which nothing is left."""
        entry.last_error = error.message
        entry.failure_code = error.code
        self._loads.fail(entry, error)

    def ready(self) -> set[str]:
        """Return the models that take requests."""
        return {entry.spec.id for entry in self.index.ready.values()}

    def gone(self, entry: ModelEntry, instance: Instance, now_s: float) -> None:
        """Note that an instance has left memory, and that its bytes are really free."""
        instance.reservation.release()
        owner = owner_of(instance.phase)
        if owner is not None:
            # Its bytes are free ones from here on. Counted as a victim's too, they would be taken
            # into account twice.
            self.entries[owner].victims.discard(instance)
        entry.instances.remove(instance)
        self.index.drop(instance)
        self._expiry.forget(instance)
        entry.left_s = now_s
        self._loads.enter(entry)
        self.index.sort(entry)

    def decide(self, now_s: float) -> Decision:
        """Return everything that can go ahead at ``now_s``.

        The order matters. The dead go first, or a request would be granted to one. Who has expired
        leaves before anybody is claimed, or others would go for those bytes too. What has grown is
        counted before anything is granted or loaded, or its bytes would be taken twice. Grants
        come before loads, because a model that serves on is busy, and no victim. What goes because
        the limit has fallen goes before loads, which count on it. What is to be closed is looked
        for last, so that what a load has claimed goes with the same decision.
        """
        decision = Decision()
        notice_deaths(self.index, now_s, decision)
        self._release_unwanted()
        self._expiry.expire(now_s)
        self._growth.settle(now_s)
        self._terms.note_contention(now_s)
        self._grants.give(now_s, decision)
        self._pressure.relieve(now_s)
        while self.index.wanting and self._loads.start(now_s, decision):
            # What was claimed for them in vain takes requests again.
            self._grants.give(now_s, decision)
            self._pressure.relieve(now_s)
        self._expiry.ask(now_s, decision)
        self._close_drained(decision)
        self._forget(now_s)
        return decision

    def vanish(self, entry: ModelEntry, error: ModeldError) -> None:
        """Let go of a model that is not there any more, once its running requests are over."""
        entry.pinned = False  # pinned, what is gone would never be forgotten
        entry.was_gone = True
        entry.queue.fail(error)
        self.drain(entry, EvictionReason.FILE_REMOVED)

    def totals(self) -> Totals:
        """Return what all models have counted since the start, the forgotten ones too."""
        return self._absent.totals()

    def staying(self) -> list[ModelSpec]:
        """Return the models that are in memory or on their way there, and not from there."""
        return [each.spec for each in self.index.resident if each not in self.index.leaving]

    def check(self) -> None:
        """Assert what always holds.

        Raises:
            AssertionError: modeld is broken.
        """
        check(self.entries, self.index, self.ledger)

    def copied(self, copies: Mapping[Any, Any], memo: dict[int, Any]) -> ModelScheduler:
        """Return one that knows the same, with ``copies`` in place of these entries and instances.

        ``memo`` is that of :func:`copy.deepcopy`, and has the copy's ledger.
        """
        index = self.index.copied(copies)
        entries = {name: copies.get(each, each) for name, each in self.entries.items()}
        shared = {id(self.entries): entries, id(self.index): index, id(self.policy): self.policy}
        shared[id(self._absent)] = self._absent.copied(entries, copies)
        shared[id(self._expiry)] = self._expiry.copied(index, copies)
        made = copy(self)
        vars(made).update(deepcopy(vars(self), {**memo, **shared}))
        return made

    def _forget(self, now_s: float) -> None:
        for entry in self.index.touched:
            self._absent.note(entry)
        self.index.touched.clear()
        self._absent.forget(now_s)

    def _release_unwanted(self) -> None:
        """Drop the claims of models that nobody waits for.

        What drained for such a claim alone takes requests again. Victims that drain for another
        reason, or that are being closed, still go.
        """
        for entry in list(self.index.touched):
            # One that has instances may be growing, and still needs what goes for it.
            if not entry.instances and not entry.queue.waiting:
                entry.overtaken_since_s = None
                self._eviction.release(entry)
            self.index.sort(entry)

    def _close_drained(self, decision: Decision) -> None:
        for instance, entry in self.index.leaving.items():
            match instance.phase:
                case Draining(residence) | Discarded(residence):
                    # Of a dead engine nobody holds a slot any more, whoever still reads its error.
                    if not running_on(residence, entry.queue.running):
                        decision.closes.append(Close(entry, instance, instance.close()))
                case Loading() | Withdrawn() | Loaded() | Ready() | Closing():
                    pass
                case _:
                    assert_never(instance.phase)
