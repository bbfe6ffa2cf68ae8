# SPDX-License-Identifier: GPL-3.0-only
"""Counts what happens in one simulated run, and makes figures of it."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence

from modeld.status import EvictionReason
from modeld.values import Value


class Figures(Value, frozen=True, kw_only=True):
    """One policy with one budget.

    Waits are those of the requests that were served, from the arrival to the slot, in seconds;
    percentiles by the nearest rank. ``warm_share`` of all requests found their model ready.
    ``load_s`` is what all loads took together, ``swaps`` are the evictions that made room, and
    ``utilisation`` is the share of the budget that was held, on average over time. ``refused`` has
    the reasons of errors.
    """

    policy: str
    budget_bytes: int
    requests: int
    served: int
    refused: Mapping[str, int]
    wait_p50_s: float
    wait_p95_s: float
    wait_p99_s: float
    wait_max_s: float
    wait_mean_s: float
    warm_share: float
    loads: int
    load_s: float
    swaps: int
    evictions: int
    utilisation: float
    simulated_s: float

    @property
    def refused_share(self) -> float:
        """Return which part of the requests was refused."""
        return sum(self.refused.values()) / self.requests if self.requests else 0.0

    @property
    def loading_share(self) -> float:
        """Return what all loads took together, as a share of the time; they may overlap."""
        return self.load_s / self.simulated_s if self.simulated_s else 0.0


class Tally:
    """Counts while a run goes on. Times are on its virtual clock."""

    def __init__(self) -> None:
        self.waits_s = array("d")
        self.refused: Counter[str] = Counter()
        self.evicted: Counter[EvictionReason] = Counter()
        self.warm = self.loads = 0
        self.load_s = 0.0
        self._held_bytes = 0
        self._held_since_s = 0.0
        self._byte_seconds = 0.0

    def holds(self, held_bytes: int, now_s: float) -> None:
        """Note what is held from now on."""
        self._byte_seconds += self._held_bytes * (now_s - self._held_since_s)
        self._held_bytes, self._held_since_s = held_bytes, now_s

    def figures(self, policy: str, budget_bytes: int, now_s: float) -> Figures:
        """Return what it has come to at the end, which is now."""
        self.holds(self._held_bytes, now_s)
        waits_s = sorted(self.waits_s)
        requests = len(waits_s) + self.refused.total()
        return Figures(
            policy=policy,
            budget_bytes=budget_bytes,
            requests=requests,
            served=len(waits_s),
            refused=dict(sorted(self.refused.items())),
            wait_p50_s=_percentile(waits_s, 0.5),
            wait_p95_s=_percentile(waits_s, 0.95),
            wait_p99_s=_percentile(waits_s, 0.99),
            wait_max_s=waits_s[-1] if waits_s else 0.0,
            wait_mean_s=math.fsum(waits_s) / len(waits_s) if waits_s else 0.0,
            warm_share=self.warm / requests if requests else 0.0,
            loads=self.loads,
            load_s=self.load_s,
            swaps=self.evicted[EvictionReason.MAKE_ROOM],
            evictions=self.evicted.total(),
            utilisation=self._byte_seconds / (budget_bytes * now_s) if now_s else 0.0,
            simulated_s=now_s,
        )


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Return the least value that ``share`` of all do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
