# SPDX-License-Identifier: GPL-3.0-only
"""Prints the table of docs/explanation/eviction-policies.md: `.venv/bin/python` with this file.

It takes a few minutes. Each row is a kind of demand, each cell the mean wait of all three policies
with one budget, over several seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean
from typing import Final

from modeld.builtin.cost_aware import CostAware
from modeld.builtin.lfu import LeastFrequentlyUsed
from modeld.builtin.lru import LeastRecentlyUsed
from modeld.simulation.comparison import compare
from modeld.simulation.driver import Rules
from modeld.simulation.generated import KINDS, generated

POLICIES: Final = (LeastRecentlyUsed(), LeastFrequentlyUsed(), CostAware())
SHARES: Final = (0.25, 0.5, 0.75)
SEEDS: Final = 5
REQUESTS: Final = 10_000


def cell(kind: str, share: float, *, are_alike: bool) -> str:
    """Return the mean waits in seconds, ``lru / lfu / cost-aware``, as the page has them."""
    waits_s: dict[str, list[float]] = {each.name: [] for each in POLICIES}
    for seed in range(1, SEEDS + 1):
        work = generated(
            kind, models=12, requests=REQUESTS, rate_per_s=0.1, seed=seed, are_alike=are_alike
        )
        for figures in compare(work, POLICIES, [int(share * work.held_bytes)], Rules()):
            waits_s[figures.policy].append(figures.wait_mean_s)
    return " / ".join(f"{fmean(found):.2f}" for found in waits_s.values())


def rows() -> Iterator[str]:
    """Yield the rows of the table."""
    for are_alike in (False, True):
        for kind in KINDS:
            cells = (cell(kind, share, are_alike=are_alike) for share in SHARES)
            models = "alike" if are_alike else "different"
            yield f"| {kind} | {models} | {' | '.join(cells)} |"


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)
