# SPDX-License-Identifier: GPL-3.0-only
"""The sequences of ended requests, kept for others that begin alike. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modeld_llama_cpp.cells import Holding, together

WORTH_KEEPING = 32
"""A kept sequence was of use if it saved a request at least so many tokens."""

_PATIENCE = 512
"""Nothing is kept after so many misses in a row, each counted as often as others run beside it: 33
requests that run all at once, or 170 that run four at a time; with one at a time it never ends."""

_REMEMBERED = 64
_REMEMBERED_TOKENS = 512


@dataclass(slots=True, eq=False)
class Kept:
    """Computed tokens, the cells that hold them, and whose they are."""

    tokens: list[int]
    salt: str
    holding: Holding
    seq_id: int


class KeptSequences:
    """Kept sequences, the least recently used first: at most ``most`` with ``most_cells`` cells.

    Whatever lies in memory takes time from every running answer in every step, of use or not, and
    a few cells far back take as much as many. So where many requests run and none of them comes
    back to what is kept, nothing is kept, until a request comes that would have found something.
    What was dropped lately is remembered for that, without its cells.
    """

    def __init__(self, most: int, most_cells: int) -> None:
        self._most = most
        self._most_cells = most_cells
        self._kept: list[Kept] = []
        self._misses = 0
        self._gone: deque[tuple[str, list[int]]] = deque(maxlen=_REMEMBERED)

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept)

    @property
    def cells(self) -> int:
        """How many cells they hold together."""
        return together(one.holding for one in self._kept)

    @property
    def are_of_use(self) -> bool:
        """Whether somebody came back lately, or too few came to tell."""
        return self._misses < _PATIENCE

    @property
    def are_too_many(self) -> bool:
        """Whether the oldest must go."""
        if not self.are_of_use:
            return bool(self._kept)
        return len(self._kept) > self._most or self.cells > self._most_cells

    def have_room(self, cells: int) -> bool:
        """Whether one more of so many cells may be kept."""
        return len(self._kept) < self._most and self.cells + cells <= self._most_cells

    def add(self, kept: Kept) -> None:
        """Keep one more, as the one used last."""
        self._kept.append(kept)

    def take(self, kept: Kept) -> None:
        """Hand one over to a request that goes on from it."""
        self._kept.remove(kept)

    def drop(self, kept: Kept) -> None:
        """Keep it no longer."""
        self._kept.remove(kept)
        self._gone.append((kept.salt, kept.tokens[:_REMEMBERED_TOKENS]))

    def used(self, kept: Kept) -> None:
        """Note that it was of use now."""
        self._kept.remove(kept)
        self._kept.append(kept)

    def oldest(self) -> Kept:
        """The one that was not used for longest."""
        return self._kept[0]

    def longest(
        self, tokens: Sequence[int], salt: str, *, whole: bool = False
    ) -> tuple[Kept | None, int]:
        """The one with the most tokens in common from the beginning, and how many these are.

        ``whole`` considers only those of which all tokens are in common.
        """
        best, most = None, 0
        for kept in self._kept:
            if kept.salt != salt:
                continue
            common = common_prefix(kept.tokens, tokens)
            if common > most and (not whole or common == len(kept.tokens)):
                best, most = kept, common
        return best, most

    def learn(
        self, tokens: Sequence[int], salt: str, used: Kept | None, cached: int, running: int
    ) -> None:
        """Learn from a request that found ``cached`` of its tokens, ``used`` being one of the kept
        if it was that, with ``running`` others beside it. Only what no other has counts for one."""
        others = [one.tokens for one in self._kept if one.salt == salt and one is not used]
        elsewhere = max((common_prefix(one, tokens) for one in others), default=0)
        gone = [common_prefix(one, tokens) for whose, one in self._gone if whose == salt]
        lost = max(gone, default=0) - cached
        gained = cached - elsewhere if used is not None else 0
        self._misses = 0 if max(gained, lost) >= WORTH_KEEPING else self._misses + running


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
