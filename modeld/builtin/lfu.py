# SPDX-License-Identifier: GPL-3.0-only
"""The eviction policy ``lfu``: evicts the model with the fewest requests first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from modeld import Candidate, EvictionPolicy, hookimpl
from modeld.builtin.victims import in_order


class LeastFrequentlyUsed(EvictionPolicy):
    """Takes the models with the fewest requests so far, and none that need not go.

    Requests are counted while a model is out of memory too ("perfect" LFU), for as long as the
    server remembers the model: what was much in demand last week is still ahead of what is in
    demand since this morning.
    """

    name = "lfu"

    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        """Return victims, least often used first; none where all together are not enough."""
        return in_order(candidates, needed_bytes, lambda each: (each.uses,))


@hookimpl
def modeld_register_eviction_policies() -> Iterable[EvictionPolicy]:
    """Bring the policy ``lfu``."""
    return [LeastFrequentlyUsed()]
