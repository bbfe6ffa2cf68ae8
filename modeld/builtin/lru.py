# SPDX-License-Identifier: GPL-3.0-only
"""The default eviction policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from modeld import Candidate, EvictionPolicy, hookimpl


class LeastRecentlyUsed(EvictionPolicy):
    """Takes the models that were used longest ago, and none that need not go.

    A model taken early is given back if those taken after it free enough without it, the most
    recently used one first.
    """

    name = "lru"

    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        """Return victims, least recently used first; none where all together are not enough."""
        victims: list[Candidate] = []
        surplus = -needed_bytes
        for candidate in sorted(candidates, key=_age):
            if surplus >= 0:
                break
            victims.append(candidate)
            surplus += candidate.held_bytes
        if surplus < 0:
            return ()
        for victim in reversed(tuple(victims)):
            if victim.held_bytes <= surplus:
                victims.remove(victim)
                surplus -= victim.held_bytes
        return tuple(victims)


def _age(candidate: Candidate) -> tuple[float, float, str]:
    """Return a key that orders by last use; its rest makes the order the same each time."""
    return candidate.last_used_s, candidate.loaded_s, candidate.model


@hookimpl
def modeld_register_eviction_policies() -> Iterable[EvictionPolicy]:
    """Bring the policy ``lru``."""
    return [LeastRecentlyUsed()]
