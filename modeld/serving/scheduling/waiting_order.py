# SPDX-License-Identifier: GPL-3.0-only
"""In which order models wait for memory: by claim, priority, loads and time. Decides only."""

from __future__ import annotations

import math
from typing import NamedTuple

from modeld.serving.scheduling.entry_index import EntryIndex
from modeld.serving.scheduling.eviction.terms import Terms
from modeld.serving.state.model_entry import ModelEntry


class Rank(NamedTuple):
    """Where a model stands; the lowest is next."""

    level: int
    start_tag: float
    since_s: float


class WaitingOrder:
    """Ranks the models that are absent and waited for.

    Who has the higher ``priority`` goes first, but not for ever: one that was overtaken for
    ``max_overtake_s`` stands among the highest that wait. So priorities say who is served first
    where memory is short, and nobody is left without any.

    Among equals start tags decide, as in start-time fair queueing: each load raises a model's tag
    by one, and who comes anew begins at the tag of whoever was loaded last, so nobody saves loads
    up. By waits alone a model that claims a busy victim, time and again, falls behind those that
    find idle ones.
    """

    def __init__(self, index: EntryIndex, terms: Terms) -> None:
        self._index = index
        self._terms = terms

    def order(self, now_s: float) -> list[ModelEntry]:
        """Return who waits for memory, the next one first.

        What was evicted for a model is that model's: one that waits longer gets no part of it, nor
        of the free bytes that it counts on.
        """
        highest = self._highest
        return sorted(
            self._index.wanting,
            key=lambda entry: (entry.claim_rank, self._rank(entry, highest, now_s)),
        )

    def ahead(self, entry: ModelEntry, now_s: float) -> list[ModelEntry]:
        """Return who gets memory before a model, which waits already or would come now."""
        highest = self._highest
        # Who does not wait for memory now would come behind all of its priority that do.
        rank = Rank(-entry.priority, math.inf, math.inf)
        if entry.wants_load:
            rank = self._rank(entry, highest, now_s)
        others = (each for each in self._index.wanting if each is not entry)
        return [
            each for each in others if each.has_claim or self._rank(each, highest, now_s) < rank
        ]

    def changes_s(self, now_s: float) -> float:
        """Return when the order changes by time alone: somebody has been overtaken for too long."""
        highest = self._highest
        lower = (each for each in self._index.wanting if each.priority < highest)
        times = map(self._terms.overdue_s, lower)
        return min((time_s for time_s in times if time_s > now_s), default=math.inf)

    @property
    def _highest(self) -> int:
        return max((entry.priority for entry in self._index.wanting), default=0)

    def _rank(self, entry: ModelEntry, highest: int, now_s: float) -> Rank:
        is_overdue = entry.priority < highest and self._terms.is_overdue(entry, now_s)
        level = highest if is_overdue else entry.priority
        return Rank(-level, entry.start_tag, entry.waits_since_s)
