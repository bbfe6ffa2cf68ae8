# SPDX-License-Identifier: GPL-3.0-only
"""Computes which terminals of a grammar may come first, and which after each other."""

from __future__ import annotations

from collections.abc import Iterator

from modeld_llama_cpp.constraints.grammars.expressions import (
    Choice,
    Repetition,
    Rule,
    Sequence,
    Terminal,
    Tree,
    may_be_empty,
)


class Vicinity:
    """The neighbours of terminals. Sets of terminals are masks of their numbers."""

    def __init__(self, rules: dict[str, Tree], root: str) -> None:
        self._rules = rules
        self._numbers: dict[Terminal, int] = {}
        self._empty: dict[str, bool] = dict.fromkeys(rules, False)
        self._first: dict[str, int] = dict.fromkeys(rules, 0)
        self._last: dict[str, int] = dict.fromkeys(rules, 0)
        self._number()
        self.terminals = list(self._numbers)
        self._settle()
        self.first = self._first[root]
        self.after = [0] * len(self.terminals)
        for tree in rules.values():
            self._neighbours(tree)

    def _number(self) -> None:
        todo = list(self._rules.values())
        while todo:
            tree = todo.pop()
            if isinstance(tree, Terminal):
                self._numbers.setdefault(tree, len(self._numbers))
            elif isinstance(tree, Sequence | Choice):
                todo += tree.items
            elif isinstance(tree, Repetition):
                todo.append(tree.item)

    def _settle(self) -> None:
        """Find out how rules begin and end, which depends on one another."""
        changed = True
        while changed:
            changed = False
            for name, tree in self._rules.items():
                empty, first, last = self._ends(tree)
                if (empty, first, last) != (self._empty[name], self._first[name], self._last[name]):
                    self._empty[name], self._first[name], self._last[name] = empty, first, last
                    changed = True

    def _ends(self, tree: Tree) -> tuple[bool, int, int]:
        match tree:
            case Terminal():
                mask = 1 << self._numbers[tree]
                return may_be_empty(tree.tree), mask, mask
            case Rule():
                return self._empty[tree.name], self._first[tree.name], self._last[tree.name]
            case Repetition():
                empty, first, last = self._ends(tree.item)
                return empty or tree.least == 0, first, last
            case Choice():
                parts = [self._ends(each) for each in tree.items]
                first = last = 0
                for _, its_first, its_last in parts:
                    first, last = first | its_first, last | its_last
                return any(empty for empty, _, _ in parts), first, last
            case Sequence():
                return self._sequence_ends(tree)
            case _:
                raise TypeError(tree)

    def _sequence_ends(self, tree: Sequence) -> tuple[bool, int, int]:
        empty, first, last = True, 0, 0
        for each in tree.items:
            its_empty, its_first, its_last = self._ends(each)
            first = first | its_first if empty else first
            last = last | its_last if its_empty else its_last
            empty = empty and its_empty
        return empty, first, last

    def _neighbours(self, tree: Tree) -> None:
        if isinstance(tree, Choice):
            for each in tree.items:
                self._neighbours(each)
        elif isinstance(tree, Repetition):
            self._neighbours(tree.item)
            if tree.most != 1:
                _, first, last = self._ends(tree.item)
                self._meet(last, first)
        elif isinstance(tree, Sequence):
            before = 0
            for each in tree.items:
                self._neighbours(each)
                empty, first, last = self._ends(each)
                self._meet(before, first)
                before = before | last if empty else last

    def _meet(self, before: int, after: int) -> None:
        for number in bits(before):
            self.after[number] |= after


def bits(mask: int) -> Iterator[int]:
    """Yield the numbers in a mask."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
