# SPDX-License-Identifier: GPL-3.0-only
"""Which models leave memory because nobody has used them for too long. Decides only."""

from __future__ import annotations

import math

from modeld.serving.scheduling.decision import Decision
from modeld.serving.scheduling.entry_index import EntryIndex
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Ready
from modeld.status import EvictionReason


class Expiry:
    """Takes idle models out of memory when their time is over, whether anybody needs it or not."""

    def __init__(self, index: EntryIndex) -> None:
        self._index = index
        self._next_s = math.inf

    def expire(self, now_s: float) -> None:
        """Let go of all models whose time is over."""
        self._note_touched(now_s)
        if now_s < self._next_s:
            return
        self._next_s = math.inf
        for instance, entry in list(self._index.ready.items()):
            expires_s = _expires_s(entry, instance, now_s)
            if expires_s <= now_s:
                instance.leave(EvictionReason.IDLE, entry.queue.running)
                self._index.sort(entry)
            else:
                self._next_s = min(self._next_s, expires_s)

    def ask(self, now_s: float, decision: Decision) -> None:
        """Ask for a look at the time at which the next model may expire."""
        self._note_touched(now_s)
        decision.ask_again(self._next_s)

    def _note_touched(self, now_s: float) -> None:
        # A lower bound is enough: a use puts a model's end off and leaves the bound too early, so
        # that all are looked at once in vain, and not with every decision.
        for entry in self._index.touched:
            for instance in entry.instances:
                self._next_s = min(self._next_s, _expires_s(entry, instance, now_s))


def _expires_s(entry: ModelEntry, instance: Instance, now_s: float) -> float:
    """Return when an idle model's time is over; infinite for one that is used, or not ready."""
    if isinstance(instance.phase, Ready) and entry.queue.is_empty:
        return entry.expires_s(instance.phase.residence, now_s)
    return math.inf
