# SPDX-License-Identifier: GPL-3.0-only
"""Which models leave memory because nobody has used them for too long. Decides only."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from typing import Any

from modeld.serving.scheduling.decision import Decision
from modeld.serving.scheduling.entry_index import EntryIndex
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Ready
from modeld.status import EvictionReason


class Expiry:
    """Takes idle models out of memory when their time is over, whether anybody needs it or not.

    Each instance that may expire has a time noted at which to look at it, no later than its end.
    A use puts the end off and not that time: so a request costs nothing here, and each instance is
    looked at in vain once in the time that it may be unused, and not with every decision.
    """

    def __init__(self, index: EntryIndex) -> None:
        self._index = index
        self._noted: dict[Instance, tuple[float, int]] = {}
        # Of instances only numbers: what has left memory would be kept here until its time.
        self._order: list[tuple[float, int]] = []
        self._numbered: dict[int, Instance] = {}
        self._next_number = 0

    def copied(self, index: EntryIndex, copies: Mapping[Any, Any]) -> Expiry:
        """Return what has noted the same for ``index``, with ``copies`` in place of these."""
        made = Expiry(index)
        made._noted = {copies.get(each, each): noted for each, noted in self._noted.items()}
        made._order = list(self._order)
        made._numbered = {at: copies.get(each, each) for at, each in self._numbered.items()}
        made._next_number = self._next_number
        return made

    def expire(self, now_s: float) -> None:
        """Let go of all models whose time is over."""
        self._note_touched(now_s)
        while self._order and self._order[0][0] <= now_s:
            _, number = heapq.heappop(self._order)
            instance = self._numbered.get(number)
            if instance is None:
                continue  # it has left, or an earlier time was noted since
            self.forget(instance)
            entry = self._index.ready.get(instance)
            if entry is None:
                continue  # it is noted again if it takes requests again
            expires_s = _expires_s(entry, instance, now_s)
            if expires_s <= now_s:
                instance.leave(EvictionReason.IDLE, entry.queue.running)
                self._index.sort(entry)
            else:
                self._note(instance, expires_s)

    def forget(self, instance: Instance) -> None:
        """Look at an instance no more, as when it has left memory."""
        _, number = self._noted.pop(instance, (math.inf, -1))
        self._numbered.pop(number, None)

    def ask(self, now_s: float, decision: Decision) -> None:
        """Ask for a look at the time at which the next model may expire."""
        self._note_touched(now_s)
        if self._order:
            decision.ask_again(self._order[0][0])

    def _note_touched(self, now_s: float) -> None:
        for entry in self._index.touched:
            for instance in entry.instances:
                self._note(instance, _expires_s(entry, instance, now_s))

    def _note(self, instance: Instance, at_s: float) -> None:
        noted_s, _ = self._noted.get(instance, (math.inf, -1))
        if at_s < noted_s:
            self.forget(instance)
            noted = at_s, self._next_number
            self._noted[instance] = noted
            self._numbered[self._next_number] = instance
            self._next_number += 1
            heapq.heappush(self._order, noted)


def _expires_s(entry: ModelEntry, instance: Instance, now_s: float) -> float:
    """Return when an idle model's time is over; infinite for one that is used, or not ready."""
    if isinstance(instance.phase, Ready) and entry.queue.is_empty:
        return entry.expires_s(instance.phase.residence, now_s)
    return math.inf
