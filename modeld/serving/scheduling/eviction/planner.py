# SPDX-License-Identifier: GPL-3.0-only
"""Chooses who leaves memory so that another model fits. Decides only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from modeld.device_bytes import NOTHING, DeviceBytes
from modeld.interfaces import EvictionPolicy
from modeld.serving.scheduling.entry_index import EntryIndex
from modeld.serving.scheduling.eviction.evictable import (
    Evictable,
    by_priority,
    held,
    held_by,
    is_help,
    without_needless,
)
from modeld.serving.scheduling.eviction.terms import Terms
from modeld.serving.state import phases
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Leaving
from modeld.status import EvictionReason


class EvictionPlanner:
    """Finds victims among the instances, and remembers for whom each of them goes.

    Idle models are victims, and of whoever is next busy ones too, as their ``terms`` allow. They
    finish what runs. Pinned models are nobody's victims. Of the others those of a lower
    ``priority`` go first, and among equals ``policy`` chooses. It is believed: what it chooses are
    candidates, and enough (:class:`~modeld.plugins.guarded_policy.GuardedPolicy`).
    """

    def __init__(
        self,
        entries: Mapping[str, ModelEntry],
        index: EntryIndex,
        terms: Terms,
        policy: EvictionPolicy,
    ) -> None:
        self._entries = entries
        self._index = index
        self._terms = terms
        self._next_rank = 0
        self.policy = policy

    def make(
        self,
        entry: ModelEntry,
        free: DeviceBytes,
        now_s: float,
        *,
        is_next: bool,
        barred: DeviceBytes = NOTHING,
    ) -> bool:
        """Claim victims for a load, given what is free; return whether they are on their way.

        Only who ``is_next`` may claim busy ones: else small models could take for ever what a big
        one waits for. Who holds something of what is ``barred`` is left to another.
        """
        self._adopt_leaving(entry, entry.need.size.beyond(free), barred)
        short = entry.need.size.beyond(free + held(entry.victims))
        if not short:
            self._rank(entry)
            return True
        evictable = self._helpful(self._terms.idle(now_s), barred)
        if is_next and not short.fits_within(held_by(evictable)):
            busy = self._terms.busy(now_s, overdue=self._terms.is_overdue(entry, now_s))
            evictable += self._helpful(busy, barred)
        return self._claim(entry, self._choose(evictable, short, now_s))

    def make_to_grow(
        self, entry: ModelEntry, growth: DeviceBytes, free: DeviceBytes, now_s: float
    ) -> bool:
        """Claim victims for a model that is loaded already; return ``False`` if there are none.

        Its bytes are taken already, so nobody's minimum residence is waited for.
        """
        self._adopt_leaving(entry, growth.beyond(free))
        short = growth.beyond(free + held(entry.victims))
        if not short:
            return True
        return self._claim(entry, self._choose(self._terms.idle(math.inf), short, now_s))

    def relieve(self, excess: DeviceBytes, now_s: float) -> None:
        """Evict idle models for other programs, which have taken the memory already.

        So nobody's minimum residence is waited for. Where all together are too few, all go: each
        byte keeps the kernel from ending a process.
        """
        idle = self._terms.idle(math.inf)
        for device in tuple(excess.devices):
            on_it = [each for each in idle if each.instance.held.on(device) > 0]
            gone = [each for each in on_it if isinstance(each.instance.phase, Leaving)]
            left = [each for each in on_it if each not in gone]
            missing = excess.on(device) - held_by(gone).on(device)
            if missing <= 0:
                continue
            victims = left
            if held_by(left).on(device) > missing:
                victims = self._asked(left, device, missing, now_s) or left
            for victim in victims:
                victim.instance.leave(EvictionReason.MEMORY_PRESSURE, victim.entry.queue.running)
                self._index.sort(victim.entry)

    def has_idle(self) -> bool:
        """Return whether a model might be evicted for one that is not next."""
        return bool(self._index.idle)

    def release(self, entry: ModelEntry) -> bool:
        """Give up all claims; return whether a model takes requests again for it.

        Draining whose close has not begun is taken back when nobody claims the bytes any more.
        """
        victims, entry.victims = entry.victims, set()
        entry.claim_rank = math.inf
        returned = False
        for victim in victims:
            # Disowned in any case: one that is closing, or leaves for another reason, goes all the
            # same, and the next load may count on its bytes.
            victim.give_to(None)
            if phases.may_return(victim.phase):
                victim.take_back()
                self._index.sort(self._entries[victim.spec.id])
                returned = True
        return returned

    def _helpful(self, found: list[Evictable], barred: DeviceBytes) -> list[Evictable]:
        """Leave out who holds something of what is ``barred``."""
        return [each for each in found if not is_help(each.instance, barred)] if barred else found

    def _adopt_leaving(
        self, entry: ModelEntry, needed: DeviceBytes, barred: DeviceBytes = NOTHING
    ) -> None:
        """Count on models that are leaving anyway before sending others away."""
        for instance in self._index.leaving:
            # The index may be older than a victim that was taken back in this decision.
            missing = needed.beyond(held(entry.victims))
            if not missing:
                return
            if not isinstance(instance.phase, Leaving) or not is_help(instance, missing):
                continue
            if barred and is_help(instance, barred):
                continue
            # What another load counts on stays that load's: counted twice, the bytes would let two
            # loads begin where there is memory for one.
            if instance.phase.owner is None:
                instance.give_to(entry.spec.id)
                entry.victims.add(instance)

    def _choose(
        self, evictable: Sequence[Evictable], needed: DeviceBytes, now_s: float
    ) -> list[Evictable]:
        """Ask the policy for each device that is short, unless all together are not enough."""
        if not needed.fits_within(held_by(evictable)):
            return []
        chosen: list[Evictable] = []
        for device in needed.devices:
            missing = needed.on(device) - held_by(chosen).on(device)
            if missing <= 0:
                continue
            left = [
                each
                for each in evictable
                if each not in chosen and each.instance.held.on(device) > 0
            ]
            victims = self._asked(left, device, missing, now_s)
            if not victims:
                return []
            chosen += victims
        is_mixed = bool(needed.gpus) or len({each.entry.priority for each in chosen}) > 1
        return without_needless(chosen, needed) if is_mixed else chosen

    def _asked(
        self, evictable: Sequence[Evictable], device: str, missing: float, now_s: float
    ) -> list[Evictable]:
        """Return victims for so many bytes of one device, those of the lowest priority first.

        The policy chooses among those that are equal in that, where all of them are not needed.
        """
        chosen: list[Evictable] = []
        for equals in by_priority(evictable):
            size = held_by(equals).on(device)
            if size < missing:
                chosen += equals
                missing -= size
                continue
            candidates = [each.candidate(device, now_s) for each in equals]
            names = {each.model for each in self.policy.choose(candidates, int(missing))}
            victims = [each for each in equals if each.entry.spec.id in names]
            return chosen + victims if victims else []
        return []

    def _claim(self, entry: ModelEntry, victims: Sequence[Evictable]) -> bool:
        for victim in victims:
            victim.instance.leave(EvictionReason.MAKE_ROOM, victim.entry.queue.running)
            victim.instance.give_to(entry.spec.id)
            entry.victims.add(victim.instance)
            self._index.sort(victim.entry)
        if victims:
            self._rank(entry)
        return bool(victims)

    def _rank(self, entry: ModelEntry) -> None:
        """Put it before all that claim later: the free bytes that it counts on are nobody else's.

        The first rank stays. Were it renewed, two that wait for victims could pass each other with
        every decision, and each would take a part of what the other counts on.
        """
        if not entry.has_claim:
            entry.claim_rank = self._next_rank
            self._next_rank += 1
