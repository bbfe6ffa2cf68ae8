# SPDX-License-Identifier: GPL-3.0-only
"""What ended requests have computed, kept in main memory for others that begin alike. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

MOST_KEPT = 256
"""Each new request is compared with all that are kept."""

WORTH_KEEPING = 16
"""Computing fewer tokens than this again costs no more than looking for them."""


@dataclass(slots=True, frozen=True, kw_only=True)
class SavedSequence:
    """Computed tokens, whose they are, and their state as the runtime writes it.

    The state fits the same file, options and build of the runtime only.
    """

    tokens: tuple[int, ...]
    salt: str
    state: bytes


class KeptSequences:
    """At most ``most`` saved sequences with at most ``most_tokens`` together.

    The least recently used go first. ``in_parts`` says whether the beginning of one is of use. If
    not, only a whole one is.
    """

    def __init__(self, most_tokens: int, most: int = MOST_KEPT, *, in_parts: bool = True) -> None:
        self._most_tokens = most_tokens
        self._most = most
        self._in_parts = in_parts
        self._kept: list[SavedSequence] = []

    def __iter__(self) -> Iterator[SavedSequence]:
        """The most recently used first."""
        return reversed(self._kept)

    @property
    def tokens(self) -> int:
        """How many tokens are kept."""
        return sum(len(one.tokens) for one in self._kept)

    def wants(self, tokens: Sequence[int], salt: str) -> bool:
        """Whether a sequence is worth saving: it may be kept, and no kept one goes on from it."""
        if not WORTH_KEEPING <= len(tokens) <= self._most_tokens:
            return False
        if not self._in_parts:
            return True
        best, common = self.longest(tokens, salt)
        return best is None or common < len(tokens)

    def add(self, saved: SavedSequence) -> None:
        """Keep one more, as the one used last, in place of those that it goes on from."""
        if self._in_parts:
            self._kept = [one for one in self._kept if not _begins_with(saved, one)]
        self._kept.append(saved)
        while len(self._kept) > self._most or self.tokens > self._most_tokens:
            del self._kept[0]

    def extend(self, saved: Iterable[SavedSequence]) -> int:
        """Keep some that come from elsewhere, the most recently used first, as far as there is
        room; how many these are."""
        count = 0
        room = self._most_tokens - self.tokens
        for one in saved:
            if len(one.tokens) <= room and len(self._kept) < self._most:
                room -= len(one.tokens)
                self._kept.insert(0, one)
                count += 1
        return count

    def remove(self, saved: SavedSequence) -> None:
        """Keep it no longer."""
        self._kept = [one for one in self._kept if one is not saved]

    def longest(self, tokens: Sequence[int], salt: str) -> tuple[SavedSequence | None, int]:
        """The one with the most tokens in common from the beginning, and how many these are.

        Of several the most recently used, which then counts as used.
        """
        wanted = tuple(tokens)
        best, most = None, WORTH_KEEPING - 1
        for one in reversed(self._kept):
            if one.salt != salt:
                continue
            common = common_prefix(one.tokens, wanted)
            if common > most and (self._in_parts or common == len(one.tokens)):
                best, most = one, common
        if best is None:
            return None, 0
        self.remove(best)
        self._kept.append(best)
        return best, most


def _begins_with(saved: SavedSequence, other: SavedSequence) -> bool:
    return saved.salt == other.salt and saved.tokens[: len(other.tokens)] == other.tokens


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences have in common from their beginning.

    Both are lists or both are tuples: slices are compared, which is done in C, ever longer ones,
    and shorter ones again where they differ.
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
