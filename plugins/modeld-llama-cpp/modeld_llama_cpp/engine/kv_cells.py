# SPDX-License-Identifier: GPL-3.0-only
"""Counts the cells of the KV cache, each of them once, however many sequences share it.

Two sequences that began alike hold the same cells for what they have in common. So cells form a
forest: a *run* is a stretch of cells that the same sequences hold, and what follows on it branches.
Sharing a part of a run splits it there. A run is given back with the last one who holds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Run:
    """A stretch of cells, behind those of ``parent``. ``holders`` are runs and sequences."""

    parent: Run | None
    length: int
    holders: int = 1


@dataclass(slots=True, eq=False)
class Holding:
    """The cells of one sequence: ``last`` and all runs before it, ``length`` cells together."""

    last: Run | None = None
    length: int = 0


class Cells:
    """A KV cache of ``size`` cells."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0

    @property
    def free(self) -> int:
        """Return how many cells hold nothing."""
        return self.size - self.used

    def extend(self, holding: Holding, count: int) -> None:
        """Take free cells behind those of a holding, which has them alone."""
        assert 0 <= count <= self.free, f"{count} cells of {self.free}"
        if count == 0:
            return
        run = holding.last
        if run is not None and run.holders == 1:
            run.length += count
        else:  # whoever else holds the run must not see it grow; the new one keeps it for us
            holding.last = Run(run, count)
        holding.length += count
        self.used += count

    def share(self, source: Holding, count: int) -> Holding:
        """Return a new holding of the first ``count`` cells of another."""
        assert 0 <= count <= source.length, f"{count} cells of {source.length}"
        run, behind = source.last, source.length
        while run is not None and behind - run.length >= count:
            behind -= run.length
            run = run.parent
        if run is None:
            return Holding()
        shared = count - (behind - run.length)
        if shared < run.length:
            # The new run comes before the old one, which others hold as their last: they keep all
            # of their cells by way of it. Its one holder so far is the old run.
            run.parent = Run(run.parent, shared)
            run.length -= shared
            run = run.parent
        run.holders += 1
        return Holding(run, count)

    def give_back(self, holding: Holding) -> None:
        """Free what nobody else holds. The holding is empty then."""
        run, holding.last, holding.length = holding.last, None, 0
        while run is not None:
            run.holders -= 1
            if run.holders:
                return  # who holds a run holds those before it, so these stay too
            self.used -= run.length
            run = run.parent


def together(holdings: Iterable[Holding]) -> int:
    """Return how many cells these holdings are, each cell counted once."""
    seen: set[int] = set()
    count = 0
    for holding in holdings:
        run = holding.last
        # Behind a run that was seen come only runs that were: they were counted with it.
        while run is not None and id(run) not in seen:
            seen.add(id(run))
            count += run.length
            run = run.parent
    return count
