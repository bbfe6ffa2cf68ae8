# SPDX-License-Identifier: GPL-3.0-only
"""The eviction policy ``cost-aware``: evicts what costs least to lose, per byte."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from modeld import Candidate, EvictionPolicy, hookimpl
from modeld.builtin.victims import in_order

AHEAD_S: Final = 60.0
"""How far ahead it looks for the next request."""


class CostAware(EvictionPolicy):
    """Takes the models whose expected reload, in seconds for each byte that they free, is least.

    As in GreedyDual-Size-Frequency (Cherkasova, "Improving WWW Proxies Performance with
    Greedy-Dual-Size-Frequency Caching Policy", HP Laboratories 98-69R1, 1998), a model's worth is
    frequency * cost / size. Cost is how long its last load took. The frequency is the chance that a
    request for it comes within ``AHEAD_S`` where they come as a Poisson process with its decayed
    rate, 1 - e^(-rate * time): a model that is certain to be wanted is reloaded once, however often
    it is wanted. The decay of the rate does what the growing clock of GreedyDual does, so nothing
    has to be remembered here.
    """

    name = "cost-aware"

    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        """Return victims, the least worth keeping first; none where all are not enough."""
        return in_order(candidates, needed_bytes, lambda each: (_worth(each),))


def _worth(candidate: Candidate) -> float:
    """Return the seconds of reloading that each byte is expected to cost; infinite for no bytes."""
    if candidate.held_bytes <= 0:
        return math.inf  # it frees nothing
    chance = -math.expm1(-candidate.rate_per_s * AHEAD_S)
    return candidate.load_seconds * chance / candidate.held_bytes


@hookimpl
def modeld_register_eviction_policies() -> Iterable[EvictionPolicy]:
    """Bring the policy ``cost-aware``."""
    return [CostAware()]
