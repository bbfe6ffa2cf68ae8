# SPDX-License-Identifier: GPL-3.0-only
"""Who leaves memory so that another model fits. Decides only, for the scheduler."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from modeld.device_bytes import NOTHING, DeviceBytes
from modeld.interfaces import EvictionPolicy
from modeld.serving.scheduling.entry_index import EntryIndex
from modeld.serving.scheduling.evictable import (
    Evictable,
    by_priority,
    held,
    held_by,
    is_help,
    without_needless,
)
from modeld.serving.state import phases
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Draining, Leaving, Ready
from modeld.serving.state.residence import Residence
from modeld.status import MAIN, EvictionReason


class EvictionPlanner:
    """Finds victims among the instances, and remembers for whom each of them goes.

    Idle models are victims once they have been loaded for ``min_residence_s``: nobody runs on them
    and nobody waits for them. Busy ones are victims of whoever is next, when their term is over:
    they have served for ``max_overtake_s`` divided by the number of models that wait for memory.
    They finish what runs. Pinned models are nobody's victims. Of the others those of a lower
    ``priority`` go first, and among equals ``policy`` chooses. It is believed: what it
    chooses are candidates, and enough (:class:`~modeld.plugins.guarded_policy.GuardedPolicy`).
    """

    def __init__(
        self,
        entries: Mapping[str, ModelEntry],
        index: EntryIndex,
        policy: EvictionPolicy,
        *,
        min_residence_s: float,
        max_overtake_s: float,
    ) -> None:
        self._entries = entries
        self._index = index
        self._policy = policy
        self.min_residence_s = min_residence_s
        self._max_overtake_s = max_overtake_s
        self._contended_since_s = math.inf
        self._next_rank = 0

    def reconfigure(
        self, policy: EvictionPolicy, *, min_residence_s: float, max_overtake_s: float
    ) -> None:
        """Go on with another policy and other times."""
        self._policy = policy
        self.min_residence_s = min_residence_s
        self._max_overtake_s = max_overtake_s
        self._index.young.update(self._index.ready)  # a longer one may not be over any more

    @property
    def term_s(self) -> float:
        """Return how long a model may serve while others wait for memory."""
        # Shared by all that wait: with a whole term for each, the last of many would be overtaken
        # for as many terms, and the setting bounds what one may be overtaken for.
        return self._max_overtake_s / max(1, len(self._index.wanting))

    @property
    def longest_term_s(self) -> float:
        """Return a term with its minimum residence."""
        return max(self.min_residence_s, self.term_s)

    def note_contention(self, now_s: float) -> None:
        """Note since when somebody waits for memory: terms count from then on."""
        # Terms of a contention that is over say nothing of the next one: a model would be evicted
        # at once for what it served an hour ago.
        if not self._index.wanting:
            self._contended_since_s = math.inf
            self._index.terms.clear()
        elif self._contended_since_s == math.inf:
            self._contended_since_s = now_s

    def note_grant(
        self, entry: ModelEntry, instance: Instance, residence: Residence, now_s: float
    ) -> None:
        """Note that a model serves on: while others wait for memory, its term has begun."""
        if not self._index.wanting:
            return
        # A term of an earlier contention is over. Within one it is not begun anew, or a model that
        # is asked for all the time would never come to its end.
        if residence.term_since_s < self._contended_since_s:
            residence.term_since_s = now_s
            self._index.terms[instance] = entry
        # From the first request that goes ahead of it, and not from the last: else a steady stream
        # would put off the bound on overtaking for ever.
        for other in self._index.unmarked:
            other.overtaken_since_s = now_s
        self._index.unmarked.clear()

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
        evictable = self._helpful(self._idle(now_s), barred)
        if is_next and not short.fits_within(held_by(evictable)):
            busy = self._busy(now_s, overdue=self.is_overdue(entry, now_s))
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
        return self._claim(entry, self._choose(self._idle(math.inf), short, now_s))

    def relieve(self, excess: DeviceBytes, now_s: float) -> None:
        """Evict idle models for other programs, which have taken the memory already.

        So nobody's minimum residence is waited for. Where all together are too few, all go: each
        byte keeps the kernel from ending a process.
        """
        idle = self._idle(math.inf)
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

    def next_chance_s(self, entry: ModelEntry, now_s: float) -> float:
        """Return when :meth:`make` may find more than now, apart from models becoming idle."""
        overdue = self.is_overdue(entry, now_s)
        # Who is in neither of the two may be claimed now, or nobody can say when.
        times = [
            self._evictable_from_s(other.entry, other.residence, overdue=overdue)
            for other in self._evictable(self._young(now_s))
        ]
        for other in self._evictable(self._index.terms):
            term_ends_s = other.residence.term_since_s + self.term_s
            if term_ends_s > now_s:
                times.append(self._evictable_from_s(other.entry, other.residence, overdue=overdue))
                is_next = term_ends_s >= other.residence.ready_s + self.min_residence_s
                if is_next and not other.entry.queue.is_empty:
                    break  # the terms of all others end later
        times.append(self.overdue_s(entry))
        return min((time_s for time_s in times if time_s > now_s), default=math.inf)

    def has_idle(self) -> bool:
        """Return whether a model might be evicted for one that is not next."""
        return bool(self._index.idle)

    def is_overdue(self, entry: ModelEntry, now_s: float) -> bool:
        """Return whether it was overtaken for so long that all that becomes free is its own."""
        return now_s >= self.overdue_s(entry)

    def vacates_s(self, entry: ModelEntry) -> float:
        """Return when what is ready of a model may be claimed; infinite where nobody can say."""
        times = (self._evictable_from_s(entry, each, overdue=False) for each in entry.ready())
        return min(times, default=math.inf)

    def pinned(self, size: DeviceBytes) -> DeviceBytes:
        """Return what the models hold that are evicted for no other, of what ``size`` is of.

        What they hold of another GPU is in nobody's way.
        """
        pinned = held(self._index.pinned)
        if not pinned.gpus:
            return pinned
        gpus = {name: pinned.on(name) for name in size.devices if name != MAIN}
        return DeviceBytes(pinned.main, gpus)

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

    def _evictable(self, instances: Mapping[Instance, ModelEntry]) -> Iterator[Evictable]:
        """Yield those among ``instances`` that take requests and are not pinned."""
        for instance, entry in instances.items():
            phase = instance.phase
            if isinstance(phase, Ready) and not entry.pinned:
                yield Evictable(instance, entry, phase.residence)

    def _idle(self, now_s: float) -> list[Evictable]:
        """Return the idle ones whose minimum residence is over by then."""
        until_s = now_s - self.min_residence_s
        return [
            each
            for each in self._evictable(self._index.idle)
            if each.residence.ready_s <= until_s or now_s == math.inf
        ]

    def _busy(self, now_s: float, *, overdue: bool) -> list[Evictable]:
        """Return the busy ones that may be claimed by who is next.

        In the order of their terms, so that nobody need look at all, unless all may be claimed.
        """
        found = []
        for each in self._evictable(self._index.ready if overdue else self._index.terms):
            if not overdue and each.residence.term_since_s + self.term_s > now_s:
                break
            from_s = self._evictable_from_s(each.entry, each.residence, overdue=overdue)
            if from_s <= now_s and not each.entry.queue.is_empty:
                found.append(each)
        return found

    def _helpful(self, found: list[Evictable], barred: DeviceBytes) -> list[Evictable]:
        """Leave out who holds something of what is ``barred``."""
        return [each for each in found if not is_help(each.instance, barred)] if barred else found

    def _young(self, now_s: float) -> Mapping[Instance, ModelEntry]:
        """Return who may not have had its minimum residence; the oldest are forgotten here."""
        young = self._index.young
        while young:
            instance = next(iter(young))
            phase = instance.phase
            # What drains may be taken back.
            ready_s = phase.residence.ready_s if isinstance(phase, Ready | Draining) else -math.inf
            if ready_s + self.min_residence_s > now_s:
                break
            del young[instance]
        return young

    def _evictable_from_s(self, entry: ModelEntry, residence: Residence, *, overdue: bool) -> float:
        """Return when a ready model may be claimed: its residence and its term are over by then.

        One that works on what it had already, and serves nothing new, has no term; it is left in
        peace unless the one who waits is overdue because of others.
        """
        resident_until_s = residence.ready_s + self.min_residence_s
        if entry.queue.is_empty:
            return resident_until_s
        if residence.term_since_s < self._contended_since_s:
            return resident_until_s if overdue else math.inf
        return max(resident_until_s, residence.term_since_s + self.term_s)

    def overdue_s(self, entry: ModelEntry) -> float:
        """Return from when on all that becomes free is its own; infinite if nobody overtook it."""
        if entry.overtaken_since_s is None:
            return math.inf
        return entry.overtaken_since_s + self._max_overtake_s

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
            names = {each.model for each in self._policy.choose(candidates, int(missing))}
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
