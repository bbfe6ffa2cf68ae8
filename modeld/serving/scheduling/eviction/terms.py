# SPDX-License-Identifier: GPL-3.0-only
"""How long models may serve while others wait for memory, and from when they may be evicted. Pure.

Idle models may be evicted once they have been loaded for ``min_residence_s``. Busy ones may be
evicted for whoever is next, when their term is over: they have served for ``max_overtake_s``
divided by the number of models that wait for memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from modeld.serving.scheduling.entry_index import EntryIndex
from modeld.serving.scheduling.eviction.evictable import Evictable
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Draining, Ready
from modeld.serving.state.residence import Residence


class Terms:
    """The minimum residence and the term of every model that is in memory."""

    def __init__(self, index: EntryIndex, *, min_residence_s: float, max_overtake_s: float) -> None:
        self._index = index
        self.min_residence_s = min_residence_s
        self._max_overtake_s = max_overtake_s
        self._contended_since_s = math.inf

    def reconfigure(self, *, min_residence_s: float, max_overtake_s: float) -> None:
        """Go on with other times."""
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

    def idle(self, now_s: float) -> list[Evictable]:
        """Return the idle models whose minimum residence is over by then."""
        until_s = now_s - self.min_residence_s
        return [
            each
            for each in self._evictable(self._index.idle)
            if each.residence.ready_s <= until_s or now_s == math.inf
        ]

    def busy(self, now_s: float, *, overdue: bool) -> list[Evictable]:
        """Return the busy models that may be claimed by who is next.

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

    def next_chance_s(self, entry: ModelEntry, now_s: float) -> float:
        """Return when more may be evicted for it than now, beside those that become idle."""
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

    def is_overdue(self, entry: ModelEntry, now_s: float) -> bool:
        """Return whether it was overtaken for so long that all that becomes free is its own."""
        return now_s >= self.overdue_s(entry)

    def vacates_s(self, entry: ModelEntry) -> float:
        """Return when what is ready of a model may be claimed; infinite where nobody can say."""
        times = (self._evictable_from_s(entry, each, overdue=False) for each in entry.ready())
        return min(times, default=math.inf)

    def _evictable(self, instances: Mapping[Instance, ModelEntry]) -> Iterator[Evictable]:
        """Yield those among ``instances`` that take requests and are not pinned."""
        for instance, entry in instances.items():
            phase = instance.phase
            if isinstance(phase, Ready) and not entry.pinned:
                yield Evictable(instance, entry, phase.residence)

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
