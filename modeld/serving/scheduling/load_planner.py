# SPDX-License-Identifier: GPL-3.0-only
"""Which absent models are loaded now, in which order. Decides only, for the scheduler."""

from __future__ import annotations

from modeld.device_bytes import NOTHING, DeviceBytes
from modeld.errors import ModeldError
from modeld.serving.scheduling import refusals
from modeld.serving.scheduling.decision import Decision, Load
from modeld.serving.scheduling.entry_index import EntryIndex
from modeld.serving.scheduling.eviction.evictable import held, pinned
from modeld.serving.scheduling.eviction.planner import EvictionPlanner
from modeld.serving.scheduling.eviction.terms import Terms
from modeld.serving.scheduling.growth import Growth
from modeld.serving.scheduling.waiting_order import WaitingOrder
from modeld.serving.state.budget import Ledger
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry


class LoadPlanner:
    """Starts what fits, and has others evicted for what does not."""

    def __init__(
        self,
        index: EntryIndex,
        ledger: Ledger,
        terms: Terms,
        *,
        eviction: EvictionPlanner,
        growth: Growth,
        waiting: WaitingOrder,
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._terms = terms
        self._eviction = eviction
        self._growth = growth
        self._waiting = waiting
        self._virtual_time = 0  # the start tag of the model that was loaded last

    def enter(self, entry: ModelEntry) -> None:
        """Let a model that comes anew begin where the others are.

        With the tag of its last load, one that was not asked for in an hour would go before all
        others for as many loads as they had meanwhile.
        """
        entry.start_tag = max(entry.start_tag, self._virtual_time)

    def start(self, now_s: float, decision: Decision) -> bool:
        """Start what fits, in their order, and claim memory for the rest.

        Returns whether models take requests again that were to go for one of them.
        """
        # What grown models take already is not free, whatever the ledger says.
        free = self._ledger.free - self._growth.promised()
        # Who finds no memory is the next one. Those after it may claim idle models only, and none
        # once it is overdue: else small loads could take for ever what a big one waits for.
        is_next = may_claim = True
        barred = NOTHING  # what one lacks that is overdue
        returned = False
        decision.ask_again(self._waiting.changes_s(now_s))
        for entry in self._waiting.order(now_s):
            cooling_s = entry.cooldown.remaining_s(now_s)
            if cooling_s > 0:
                decision.ask_again(now_s + cooling_s)
            elif self._is_open(entry, free, now_s):
                self._measure(entry, decision)
            elif (freed := self._refused(entry, now_s)) is not None:
                returned |= freed
            elif entry.need.size.fits_within(free):
                free -= entry.need.size
                returned |= self._start(entry, now_s, decision)
            elif (refusal := self._refusal_beside_pinned(entry)) is not None:
                returned |= self.fail(entry, refusal)
            elif may_claim and self._eviction.make(
                entry, free, now_s, is_next=is_next, barred=barred
            ):
                # Of what is free, all is set aside that the victims will not bring; else a younger
                # load would take it, and the victims would have gone for too little.
                # Where less than nothing is free, they have brought what is missing, too.
                free = free.beyond(_beside_victims(entry))
            elif is_next:
                is_next = False
                decision.ask_again(self._terms.next_chance_s(entry, now_s))
                may_claim = self._eviction.has_idle()
                if self._terms.is_overdue(entry, now_s):
                    # All that is and becomes free of what it lacks is kept for it: small loads may
                    # not nibble. Of what it has enough of, others go on with the rest.
                    barred = entry.need.size.beyond(free + held(entry.victims))
                    free = free.beyond(_beside_victims(entry))
        return returned

    def fail(self, entry: ModelEntry, error: ModeldError) -> bool:
        """Tell all who wait; return whether models take requests again that were to go for them."""
        entry.queue.fail(error)
        self._index.sort(entry)
        # An instance that is there may be growing, and still needs what goes for it.
        return not entry.instances and self._eviction.release(entry)

    def refusal(self, entry: ModelEntry, now_s: float) -> ModeldError | None:
        """Return why all of the budget would be too little, as far as that is known.

        While a measurement may still say less, nobody is refused for an estimate.
        """
        if self._is_open(entry, self._ledger.free, now_s):
            return None
        size = entry.need.size
        if not self._ledger.can_ever_hold(size):
            return refusals.never_fits(entry, self._ledger, size)
        if not self._ledger.can_hold_now(size):
            return refusals.too_little_left(entry, self._ledger, NOTHING)
        return None

    def _is_open(self, entry: ModelEntry, free: DeviceBytes, now_s: float) -> bool:
        """Return whether what it needs is to be measured first, here and as things are now."""
        entry.need.look_again(self._ledger.ever)
        return entry.need.is_open(free, now_s)

    def _refusal_beside_pinned(self, entry: ModelEntry) -> ModeldError | None:
        """Return why there is not enough beside the pinned models, as far as that is so."""
        in_the_way = pinned(self._index.pinned, entry.need.size)
        needed = entry.need.size + in_the_way
        if self._ledger.can_hold_now(needed):
            return None
        if self._ledger.can_ever_hold(needed):
            return refusals.too_little_left(entry, self._ledger, in_the_way)
        return refusals.pinned_in_the_way(entry, self._ledger, in_the_way)

    def _refused(self, entry: ModelEntry, now_s: float) -> bool | None:
        """Tell those who can never have it; ``None`` where somebody still waits, else as `fail`."""
        if (refusal := self.refusal(entry, now_s)) is not None:
            return self.fail(entry, refusal)
        if (fitting := entry.need.fitting) is None:
            return None
        # Before anybody is evicted for them: they do not take what would be loaded.
        entry.queue.fail_unfitted(refusals.fit_forbidden(entry, fitting, self._ledger))
        self._index.sort(entry)
        return None if entry.queue.waiting else self._eviction.release(entry)

    def _measure(self, entry: ModelEntry, decision: Decision) -> None:
        """Have it measured; it is looked at again afterwards, and nobody else waits for that."""
        if not entry.need.is_being_measured:
            entry.need.begin_measuring()
            decision.measurements.append(entry)

    def _start(self, entry: ModelEntry, now_s: float, decision: Decision) -> bool:
        # Reserved before anything runs: two loads of one decision must not see the same free bytes.
        reservation = self._ledger.reserve(entry.spec.id, entry.need.size)
        instance = Instance(entry.spec, reservation, now_s, entry.generation, entry.need)
        entry.instances.append(instance)
        entry.overtaken_since_s = None  # it waits no longer; its next wait counts anew
        self._virtual_time = max(self._virtual_time, entry.start_tag)
        entry.start_tag += 1
        self._index.sort(entry)
        decision.loads.append(Load(entry, instance))
        return self._eviction.release(entry)


def _beside_victims(entry: ModelEntry) -> DeviceBytes:
    """Return what a load needs beyond what its victims bring."""
    return entry.need.size.beyond(held(entry.victims))
