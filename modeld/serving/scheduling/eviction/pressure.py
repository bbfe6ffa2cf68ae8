# SPDX-License-Identifier: GPL-3.0-only
"""Evicts models because other programs have taken the memory. Decides only."""

from __future__ import annotations

from modeld.device_bytes import NOTHING
from modeld.serving.scheduling.entry_index import EntryIndex
from modeld.serving.scheduling.eviction.evictable import held
from modeld.serving.scheduling.eviction.planner import EvictionPlanner
from modeld.serving.state.budget import Ledger


class Pressure:
    """Has idle models evicted while more is held of a device than its limit, which has fallen,
    allows.

    Busy models, pinned ones and loads under way keep what they have. They go on, and the busy ones
    are looked at again as soon as they are idle.
    """

    def __init__(self, index: EntryIndex, ledger: Ledger, eviction: EvictionPlanner) -> None:
        self._index = index
        self._ledger = ledger
        self._eviction = eviction

    def relieve(self, now_s: float) -> None:
        """Evict as many idle models as hold what is too much, beside those that leave anyway."""
        if not self._ledger.is_over:
            return
        excess = (NOTHING - self._ledger.free).beyond(held(self._index.leaving))
        if excess:
            self._eviction.relieve(excess, now_s)
