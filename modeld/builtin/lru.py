# SPDX-License-Identifier: GPL-3.0-only
"""The eviction policy ``lru``: evicts the model that was used longest ago first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from modeld import Candidate, EvictionPolicy, hookimpl
from modeld.builtin.victims import in_order


class LeastRecentlyUsed(EvictionPolicy):
    """Takes the models that were used longest ago, and none that need not go."""

    name = "lru"

    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        """Return victims, least recently used first; none where all together are not enough."""
        return in_order(candidates, needed_bytes, lambda each: (each.last_used_s,))


@hookimpl
def modeld_register_eviction_policies() -> Iterable[EvictionPolicy]:
    """Bring the policy ``lru``."""
    return [LeastRecentlyUsed()]
