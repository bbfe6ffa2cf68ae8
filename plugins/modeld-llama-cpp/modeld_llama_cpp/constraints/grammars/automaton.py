# SPDX-License-Identifier: GPL-3.0-only
"""Computes which bytes the texts of a tree begin with, and which may follow a complete one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from modeld_llama_cpp.constraints.grammars.characters import Chars, common
from modeld_llama_cpp.constraints.grammars.expressions import (
    Choice,
    Repetition,
    Sequence,
    Tree,
    written_out,
)

_LEADS = ((0x80, 0x7FF, 0xC0, 6), (0x800, 0xFFFF, 0xE0, 12), (0x10000, 0x10FFFF, 0xF0, 18))

MAX_LINKS = 100_000
"""How many pairs of positions may follow each other in one tree."""

MAX_STEPS = 250_000
"""How many pairs of positions are compared for one grammar."""


@lru_cache(maxsize=4096)
def lead_bytes(found: Chars) -> int:
    """Return the first bytes that characters have in UTF-8, as a mask."""
    mask = 0
    for low, high in found.ranges:
        if low < 0x80:
            mask |= (1 << min(high, 0x7F) + 1) - (1 << low)
        for first, last, base, shift in _LEADS:
            start, end = max(low, first), min(high, last)
            if start <= end:
                mask |= (1 << (base | end >> shift) + 1) - (1 << (base | start >> shift))
    return mask


@dataclass(frozen=True, slots=True)
class _Piece:
    nullable: bool
    first: frozenset[int]
    last: frozenset[int]


class TooLargeError(Exception):
    """A tree has too many positions that follow each other, or comparing trees takes too long."""


class Automaton:
    """The positions of a tree: those it can begin with, end with, and which follow which.

    Long repetitions are taken to be without end: it may then follow itself more often than it
    does, never less.

    Raises:
        TooLargeError: too many of them follow each other.
    """

    def __init__(self, tree: Tree) -> None:
        self.chars: list[Chars] = []
        self.follow: list[set[int]] = []
        self._links = 0
        whole = self._piece(tree)
        self.nullable, self.first, self.last = whole.nullable, whole.first, whole.last
        self.leads = [lead_bytes(each) for each in self.chars]
        self.first_leads = joined(self.leads, self.first)

    def _piece(self, tree: Tree) -> _Piece:
        match tree:
            case Chars():
                self.chars.append(tree)
                self.follow.append(set())
                only = frozenset({len(self.chars) - 1})
                return _Piece(nullable=False, first=only, last=only)
            case Sequence():
                found = _Piece(nullable=True, first=frozenset(), last=frozenset())
                for each in tree.items:
                    found = self._after(found, self._piece(each))
                return found
            case Choice():
                pieces = [self._piece(each) for each in tree.items]
                return _Piece(
                    nullable=any(each.nullable for each in pieces),
                    first=frozenset().union(*(each.first for each in pieces)),
                    last=frozenset().union(*(each.last for each in pieces)),
                )
            case Repetition():
                return self._repeated(tree)
            case _:
                raise TypeError(tree)

    def _repeated(self, tree: Repetition) -> _Piece:
        times = written_out(tree)
        if times is not None:
            found = _Piece(nullable=True, first=frozenset(), last=frozenset())
            for number in range(times):
                piece = self._piece(tree.item)
                nullable = piece.nullable or number >= tree.least
                piece = _Piece(nullable=nullable, first=piece.first, last=piece.last)
                found = self._after(found, piece)
            return found
        piece = self._piece(tree.item)
        self._link(piece, piece)
        nullable = piece.nullable or tree.least == 0
        return _Piece(nullable=nullable, first=piece.first, last=piece.last)

    def _link(self, before: _Piece, piece: _Piece) -> None:
        self._links += len(before.last) * len(piece.first)
        if self._links > MAX_LINKS:
            raise TooLargeError
        for position in before.last:
            self.follow[position] |= piece.first

    def _after(self, before: _Piece, piece: _Piece) -> _Piece:
        self._link(before, piece)
        return _Piece(
            nullable=before.nullable and piece.nullable,
            first=before.first | piece.first if before.nullable else before.first,
            last=before.last | piece.last if piece.nullable else piece.last,
        )


def joined(masks: list[int], numbers: Iterable[int]) -> int:
    """Return what some of several masks have together."""
    found = 0
    for number in numbers:
        found |= masks[number]
    return found


@dataclass(slots=True)
class Steps:
    """How many pairs of positions may still be compared for one grammar."""

    left: int = MAX_STEPS

    def spend(self, steps: int) -> None:
        """Take some.

        Raises:
            TooLargeError: there are not so many left.
        """
        self.left -= steps
        if self.left < 0:
            raise TooLargeError


def compared(one: Automaton, other: Automaton, steps: Steps) -> tuple[int, bool]:
    """Return with which bytes the other may go on after a text of the one, as a mask.

    The second value tells whether a text is one of both.

    Raises:
        TooLargeError: it takes too many steps.
    """
    found, shared = 0, False
    todo = [(p, q) for p in one.first for q in other.first]
    seen = set(todo)
    while todo:
        p, q = todo.pop()
        steps.spend(1)
        if not common(one.chars[p], other.chars[q]).ranges:
            continue
        if p in one.last:
            found |= joined(other.leads, other.follow[q])
            shared |= q in other.last
        new = {(a, b) for a in one.follow[p] for b in other.follow[q]} - seen
        steps.spend(len(new))
        seen |= new
        todo += new
    return found, shared
