# SPDX-License-Identifier: GPL-3.0-only
"""Remembers a bounded number of models that are out of memory, and the totals of all."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

from modeld.serving.state.model_entry import ModelEntry

REMEMBERED: Final = 256
"""So many absent models keep what was learned of them: need, times, last error."""

MOST_AT_ONCE: Final = 4
"""How many are forgotten with one decision, so that none takes long."""


@dataclass(slots=True)
class Totals:
    """What the models that were forgotten have counted; so sums over all models never shrink."""

    loads: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, entry: ModelEntry, times: int = 1) -> None:
        """Add what one model has counted."""
        self.loads += times * entry.loads_total
        self.prompt_tokens += times * entry.tally.prompt_tokens
        self.completion_tokens += times * entry.tally.completion_tokens


class Absent:
    """The entries of models that are absent and that nobody waits for, the longest absent first."""

    def __init__(self, entries: dict[str, ModelEntry]) -> None:
        self.forgotten = Totals()
        self._entries = entries
        self._absent: dict[ModelEntry, None] = {}

    def recall(self, entry: ModelEntry) -> None:
        """Take back an entry that somebody still holds, though it may have been forgotten."""
        if entry.spec.id not in self._entries:
            self._entries[entry.spec.id] = entry
            self.forgotten.add(entry, -1)
        # With two, each would hold instances of which the other's decisions know nothing.
        assert self._entries[entry.spec.id] is entry, "there are two entries for one model"

    def note(self, entry: ModelEntry) -> None:
        """Note that something about the entry has changed."""
        self._absent.pop(entry, None)
        is_known = self._entries.get(entry.spec.id) is entry  # who left late holds a forgotten one
        if is_known and entry.has_nothing_left:
            self._absent[entry] = None

    def forget(self, now_s: float) -> None:
        """Forget those that are too many. One that cools down is kept until that is over."""
        for _ in range(MOST_AT_ONCE):
            if len(self._absent) <= REMEMBERED:
                return
            entry = next(iter(self._absent))
            del self._absent[entry]
            if entry.cooldown.remaining_s(now_s) > 0:
                # Forgotten, it would have no cool-down, and what cannot be loaded would be tried
                # anew whenever enough others have been used in between.
                self._absent[entry] = None
            else:
                self.forgotten.add(entry)
                del self._entries[entry.spec.id]

    def copied(self, entries: dict[str, ModelEntry], copies: Mapping[Any, Any]) -> Absent:
        """Return what remembers the same of ``entries``, with ``copies`` in place of these."""
        made = Absent(entries)
        made.forgotten = copy(self.forgotten)
        made._absent = {copies.get(each, each): None for each in self._absent}
        return made

    def totals(self) -> Totals:
        """Return what all models have counted since the start."""
        totals = Totals()
        for entry in self._entries.values():
            totals.add(entry)
        totals.loads += self.forgotten.loads
        totals.prompt_tokens += self.forgotten.prompt_tokens
        totals.completion_tokens += self.forgotten.completion_tokens
        return totals
