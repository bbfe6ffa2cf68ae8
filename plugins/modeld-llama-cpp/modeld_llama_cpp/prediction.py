# SPDX-License-Identifier: GPL-3.0-only
"""What the next character tells about the way on, and where it does not tell enough."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from modeld_llama_cpp.machine import CHAR, END, Machine

Conflict: TypeAlias = tuple[int, int, int]
"""A rule, and where two of its alternatives start."""


class Prediction:
    """With which characters rules begin and go on, and where that leaves a choice.

    - ``first`` and ``following``: for each rule the set of characters with which it can begin,
      and of those that can come after it;
    - ``ways``: for each rule, how many sets of characters can come next at one place in it;
    - ``callers``: for each rule, the rules that refer to it, and the positions thereafter.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        count = len(machine.starts)
        self.callers: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        for position, symbol in enumerate(machine.symbols):
            if symbol >= 0:
                self.callers[symbol].append((machine.rules[position], position + 1))
        self._empty = self._find_empty()
        self.first = [0] * count
        self.ways = [0] * count
        self._starting = [0] * count
        for rule in self._from_the_left():
            self._measure(rule)
        self.following = self._find_following()

    def conflicts(self) -> list[Conflict]:
        """The rules with two alternatives that can both go on with the same character.

        That character may come after the rule, too, if one of them can be empty.
        """
        return [found for rule in range(len(self.first)) for found in self._conflicts(rule)]

    def users(self, rules: Iterable[int]) -> set[int]:
        """Some rules and those that refer to them, at any distance."""
        todo = list(rules)
        found = set(todo)
        while todo:
            new = {caller for caller, _ in self.callers[todo.pop()]} - found
            found |= new
            todo += new
        return found

    def _find_empty(self) -> list[bool]:
        """For each rule whether it can describe nothing."""
        machine, empty = self._machine, [False] * len(self._machine.starts)
        todo = [start for starts in machine.starts for start in starts]
        while todo:
            position = todo.pop()
            rule = machine.rules[position]
            while (symbol := machine.symbols[position]) >= 0 and empty[symbol]:
                position += 1
            if symbol == END and not empty[rule]:
                empty[rule] = True
                todo += (machine.heads[after] for _, after in self.callers[rule])
        return empty

    def _from_the_left(self) -> Iterator[int]:
        """All rules, each after those with which it can begin; none begins with itself."""
        done: set[int] = set()
        for root in range(len(self._machine.starts)):
            todo = [(root, False)]
            while todo:
                rule, ready = todo.pop()
                if ready:
                    yield rule
                elif rule not in done:
                    done.add(rule)
                    todo.append((rule, True))
                    todo += ((first, False) for first in self._begins_with(rule))

    def _begins_with(self, rule: int) -> Iterator[int]:
        for start in self._machine.starts[rule]:
            position = start
            while (symbol := self._machine.symbols[position]) >= 0:
                yield symbol
                if not self._empty[symbol]:
                    break
                position += 1

    def _measure(self, rule: int) -> None:
        """Sum up what a rule can begin with, and the most ways on from any place in it."""
        most = 0
        for start in self._machine.starts[rule]:
            end = start
            while self._machine.symbols[end] != END:
                end += 1
            ways = 0
            for position in range(end - 1, start - 1, -1):
                symbol = self._machine.symbols[position]
                if symbol == CHAR:
                    ways = 1
                else:
                    ways = self._starting[symbol] + (ways if self._empty[symbol] else 0)
                most = max(most, ways)
            self._starting[rule] += ways
            self.first[rule] |= self._first_from(start)[0]
        self.ways[rule] = max(most, self._starting[rule])

    def _first_from(self, position: int) -> tuple[int, bool]:
        """The characters that can come at a position of a rule, and if its end may come first."""
        found = 0
        while (symbol := self._machine.symbols[position]) != END:
            if symbol == CHAR:
                return found | self._machine.masks[position], False
            found |= self.first[symbol]
            if not self._empty[symbol]:
                return found, False
            position += 1
        return found, True

    def _find_following(self) -> list[int]:
        following = [0] * len(self._machine.starts)
        ending: list[list[int]] = [[] for _ in following]
        for rule, callers in enumerate(self.callers):
            for caller, after in callers:
                first, can_end = self._first_from(after)
                following[rule] |= first
                if can_end:
                    ending[caller].append(rule)
        todo = deque(rule for rule, mask in enumerate(following) if mask)
        while todo:
            rule = todo.popleft()
            for last in ending[rule]:
                if following[rule] & ~following[last]:
                    following[last] |= following[rule]
                    todo.append(last)
        return following

    def _conflicts(self, rule: int) -> Iterator[Conflict]:
        predicted: list[tuple[int, int]] = []
        union = 0
        for start in self._machine.starts[rule]:
            mask, can_end = self._first_from(start)
            if can_end:
                mask |= self.following[rule]
            if mask & union:
                yield from ((rule, other, start) for other, seen in predicted if seen & mask)
            predicted.append((start, mask))
            union |= mask
