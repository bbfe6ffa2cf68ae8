# SPDX-License-Identifier: GPL-3.0-only
"""The sequences of ended requests, kept for others that begin alike. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modeld_llama_cpp.cells import Holding


@dataclass(slots=True, eq=False)
class Kept:
    """Computed tokens, the cells that hold them, and whose they are."""

    tokens: list[int]
    salt: str
    holding: Holding
    seq_id: int


class KeptSequences:
    """Kept sequences, the least recently used first."""

    def __init__(self) -> None:
        self._kept: list[Kept] = []

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept)

    def add(self, kept: Kept) -> None:
        """Keep one more, as the one used last."""
        self._kept.append(kept)

    def remove(self, kept: Kept) -> None:
        """Keep it no longer."""
        self._kept.remove(kept)

    def used(self, kept: Kept) -> None:
        """Note that it was of use now."""
        self._kept.remove(kept)
        self._kept.append(kept)

    def oldest(self) -> Kept:
        """The one that was not used for longest."""
        return self._kept[0]

    def longest(self, tokens: Sequence[int], salt: str) -> tuple[Kept | None, int]:
        """The one with the most tokens in common from the beginning, and how many these are."""
        best, most = None, 0
        for kept in self._kept:
            if kept.salt == salt and (common := common_prefix(kept.tokens, tokens)) > most:
                best, most = kept, common
        return best, most


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences have in common from their beginning.

    Compares slices, which is done in C: ever longer ones, and shorter ones again where they differ.
    """
    end = min(len(first), len(second))
    start, step = 0, 16
    while start < end and first[start : start + step] == second[start : start + step]:
        start += step
        step *= 2
    while start < end and step > 1:
        step //= 2
        if first[start : start + step] == second[start : start + step]:
            start += step
    return min(start, end)
