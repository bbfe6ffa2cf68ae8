# SPDX-License-Identifier: GPL-3.0-only
"""Ended sequences that still have their cells, for the next one that begins alike. Pure.

To hold some of their cells takes no time, where to save a sequence in main memory and to bring it
back takes some 30 µs a token, each. But cells that nobody needs cost others some 0.4 µs for each
token that is computed beside them, so a sequence rests only for so long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from modeld_llama_cpp.engine.kv_cells import Holding
from modeld_llama_cpp.engine.prefix_cache import common_prefix

PATIENCE = 128
"""A sequence rests until so many tokens were computed beside it: to attend to its cells has then
cost about as much as to save and restore it does."""

MOST_UNSAVED = 512
"""What rests without being saved has at most so many tokens, as a model that leaves memory has to
save it first."""


@dataclass(slots=True, eq=False)
class Resting:
    """An ended sequence whose cells have exactly these tokens, under llama.cpp's ``seq_id``.

    It is for those of its ``salt`` only. ``patience`` is how many tokens may still be computed
    beside it, and ``is_saved`` says that the prefix cache has seen it.
    """

    tokens: list[int]
    salt: str
    seq_id: int
    holding: Holding
    is_saved: bool
    patience: int = field(default=PATIENCE)


class RestingSequences:
    """Those that rest, in the order of their ends."""

    def __init__(self) -> None:
        self._resting: list[Resting] = []

    def __iter__(self) -> Iterator[Resting]:
        """Iterate over those that rest, the one that has ended first before the others."""
        return iter(self._resting)

    def __len__(self) -> int:
        """Return how many rest."""
        return len(self._resting)

    @property
    def unsaved_tokens(self) -> int:
        """Return how many tokens rest that are nowhere else."""
        return sum(len(one.tokens) for one in self._resting if not one.is_saved)

    def add(self, one: Resting) -> None:
        """Let one rest."""
        self._resting.append(one)

    def remove(self, one: Resting) -> None:
        """Let one rest no longer."""
        self._resting.remove(one)

    def oldest(self, but: object = None) -> Resting | None:
        """Return the one that has ended first, apart from ``but``."""
        return next((one for one in self._resting if one is not but), None)

    def longest(self, tokens: Sequence[int], salt: str, above: int) -> tuple[Resting | None, int]:
        """Return the one that has more than ``above`` of these tokens, and how many of them.

        Of several it is the one with the most, and of these the one that has ended last.
        """
        best, most = None, above
        for one in reversed(self._resting):
            # One look at where it would have to agree saves comparing most of them.
            if one.salt == salt and one.tokens[most : most + 1] == tokens[most : most + 1]:
                common = common_prefix(one.tokens, tokens)
                if common > most:
                    best, most = one, common
        return best, most

    def is_covered(self, one: Resting) -> bool:
        """Return whether another one of its salt goes on from it, and will do in its stead."""
        count = len(one.tokens)
        return any(
            other is not one and other.salt == one.salt and other.tokens[:count] == one.tokens
            for other in self._resting
        )

    def pass_by(self, count: int) -> None:
        """Note that so many tokens were computed beside them."""
        for one in self._resting:
            one.patience -= count

    def impatient(self) -> list[Resting]:
        """Return those that have rested for long enough."""
        return [one for one in self._resting if one.patience <= 0]
