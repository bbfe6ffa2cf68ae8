# SPDX-License-Identifier: GPL-3.0-only
"""Texts of grammars: makes them at random, and tells whether a text is one."""

from __future__ import annotations

from bisect import bisect_right
from random import Random

from modeld_llama_cpp.machine import CHAR, END, Machine, _Alphabet
from modeld_llama_cpp.rules import ROOT, Alternative, Chars, Ref, Repeat, Rules

Stack = tuple[int, ...]


class Texts:
    """Makes texts that rules describe, short ones when they get deep."""

    def __init__(self, rules: Rules, random: Random) -> None:
        self._rules = rules
        self._random = random
        self._cost: dict[str, float] = dict.fromkeys(rules.alternatives, float("inf"))
        changed = True
        while changed:
            changed = False
            for name, alternatives in rules.alternatives.items():
                cost = 1 + min(map(self._cost_of, alternatives))
                changed |= cost < self._cost[name]
                self._cost[name] = min(cost, self._cost[name])

    def make(self) -> str:
        return self._rule(ROOT, 0)

    def _cost_of(self, alternative: Alternative) -> float:
        return sum(
            self._cost[item.rule]
            for element in alternative
            if not (isinstance(element, Repeat) and element.least == 0)
            for item in [element.item if isinstance(element, Repeat) else element]
            if isinstance(item, Ref)
        )

    def _rule(self, name: str, depth: int) -> str:
        alternatives = self._rules.alternatives[name]
        if depth > 20:
            alternative = min(alternatives, key=self._cost_of)
        else:
            alternative = self._random.choice(alternatives)
        return "".join(self._element(element, depth) for element in alternative)

    def _element(self, element: Chars | Ref | Repeat, depth: int) -> str:
        if isinstance(element, Chars):
            low, high = self._random.choice(element.ranges)
            return chr(self._random.choice((low, high, self._random.randint(low, high))))
        if isinstance(element, Ref):
            return self._rule(element.rule, depth + 1)
        most = element.least + 3 if element.most is None else element.most
        times = element.least if depth > 20 else self._random.randint(element.least, most)
        times = min(times, element.least + 3)
        return "".join(self._element(element.item, depth) for _ in range(times))


class Reading:
    """Reads a text as llama.cpp does, with all ways at once."""

    def __init__(self, rules: Rules) -> None:
        self._machine = Machine(rules)
        self._bounds = _Alphabet(rules)._bounds
        self.stacks = self._closed({self._pushed((), s) for s in self._machine.starts[0]})

    def read(self, text: str) -> bool:
        """Whether the text can be the beginning of one that the rules describe."""
        for char in text:
            mask = 1 << bisect_right(self._bounds, ord(char)) - 1
            after = set()
            for stack in self.stacks:
                if stack and self._machine.masks[stack[-1]] & mask:
                    after.add(self._pushed(stack[:-1], stack[-1] + 1))
            self.stacks = self._closed(after)
        return bool(self.stacks)

    @property
    def may_end(self) -> bool:
        return () in self.stacks

    def _closed(self, stacks: set[Stack]) -> set[Stack]:
        todo, seen = list(stacks), set(stacks)
        while todo:
            stack = todo.pop()
            symbol = self._machine.symbols[stack[-1]] if stack else CHAR
            if symbol >= 0:
                base = self._pushed(stack[:-1], stack[-1] + 1)
                new = {self._pushed(base, start) for start in self._machine.starts[symbol]} - seen
                seen |= new
                todo += new
        return {each for each in seen if not each or self._machine.symbols[each[-1]] == CHAR}

    def _pushed(self, stack: Stack, position: int) -> Stack:
        return stack if self._machine.symbols[position] == END else (*stack, position)


def describes(rules: Rules, text: str) -> bool:
    """Whether a text is one that rules describe, all of it."""
    reading = Reading(rules)
    return reading.read(text) and reading.may_end
