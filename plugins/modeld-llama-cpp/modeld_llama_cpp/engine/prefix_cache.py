# SPDX-License-Identifier: GPL-3.0-only
"""Saves in main memory what ended requests have computed, for others that begin alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from modeld_llama_cpp.engine.state import State

MOST_SAVED = 256
"""Each new request is compared with all that are saved."""

WORTH_SAVING = 16
"""Computing fewer tokens than this again costs no more than looking for them."""


@dataclass(slots=True, frozen=True, kw_only=True)
class SavedSequence:
    """Computed tokens, whose they are, and what they have in memory."""

    tokens: tuple[int, ...]
    salt: str
    state: State


class PrefixCache:
    """At most ``most`` saved sequences with at most ``most_tokens`` together.

    The least recently used go first. ``in_parts`` says whether the beginning of one is of use. If
    not, only a whole one is.
    """

    def __init__(self, most_tokens: int, most: int = MOST_SAVED, *, in_parts: bool = True) -> None:
        self.most_tokens = most_tokens
        self._most = most
        self._in_parts = in_parts
        self._saved: list[SavedSequence] = []

    def __iter__(self) -> Iterator[SavedSequence]:
        """Iterate over the saved sequences, the most recently used first."""
        return reversed(self._saved)

    @property
    def tokens(self) -> int:
        """Return how many tokens are saved."""
        return sum(len(one.tokens) for one in self._saved)

    def wants(self, tokens: Sequence[int], salt: str) -> bool:
        """Return whether a sequence is worth saving.

        That is where there is room for it, and no saved one goes on from it.
        """
        if not WORTH_SAVING <= len(tokens) <= self.most_tokens:
            return False
        if not self._in_parts:  # a longer one that goes on from this is of no use in its stead
            return True
        best, common = self.longest(tokens, salt)
        return best is None or common < len(tokens)

    def add(self, saved: SavedSequence) -> None:
        """Add one, as the one used last, in place of those that it goes on from."""
        if self._in_parts:
            # What goes on from them serves all whom they serve, so they would only take room.
            for one in [one for one in self._saved if _begins_with(saved, one)]:
                self.remove(one)
        self._saved.append(saved)
        while len(self._saved) > self._most or self.tokens > self.most_tokens:
            self.remove(self._saved[0])

    def extend(self, saved: Iterable[SavedSequence]) -> int:
        """Add some that come from elsewhere, as far as there is room; return how many these are.

        The most recently used comes first. They count as used before all that are here.
        """
        count = 0
        room = self.most_tokens - self.tokens
        for one in saved:
            # Nothing here is dropped for them: what this engine has used is newer than they are.
            if len(one.tokens) <= room and len(self._saved) < self._most:
                room -= len(one.tokens)
                self._saved.insert(0, one)
                count += 1
            else:
                one.state.free()
        return count

    def remove(self, saved: SavedSequence) -> None:
        """Drop a saved sequence, wherever its state lies."""
        self._saved = [one for one in self._saved if one is not saved]
        saved.state.free()

    def longest(self, tokens: Sequence[int], salt: str) -> tuple[SavedSequence | None, int]:
        """Return the one with the most tokens in common from the beginning, and how many these are.

        Of several it is the most recently used, which then counts as used.
        """
        wanted = tuple(tokens)
        best, most = None, WORTH_SAVING - 1
        for one in reversed(self._saved):
            if one.salt != salt:
                continue  # a hit is quicker, and would tell what others have asked
            common = common_prefix(one.tokens, wanted)
            if common > most and (self._in_parts or common == len(one.tokens)):
                best, most = one, common
        if best is None:
            return None, 0
        self._saved = [one for one in self._saved if one is not best]
        self._saved.append(best)
        return best, most


def _begins_with(saved: SavedSequence, other: SavedSequence) -> bool:
    return saved.salt == other.salt and saved.tokens[: len(other.tokens)] == other.tokens


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two sequences have in common from their beginning.

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
