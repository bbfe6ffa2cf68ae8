# SPDX-License-Identifier: GPL-3.0-only
"""Texts of grammars: makes them at random, and tells by the rules alone whether a text is one."""

from __future__ import annotations

from random import Random

from modeld_llama_cpp.constraints.grammars.characters import Chars
from modeld_llama_cpp.constraints.grammars.rules import (
    ROOT,
    Alternative,
    Element,
    Ref,
    Repeat,
    Rules,
)


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
        if depth > 12:
            alternative = min(alternatives, key=self._cost_of)
        else:
            alternative = self._random.choice(alternatives)
        return "".join(self._element(element, depth) for element in alternative)

    def _element(self, element: Element, depth: int) -> str:
        if isinstance(element, Chars):
            low, high = self._random.choice(element.ranges)
            return chr(self._random.choice((low, high, self._random.randint(low, high))))
        if isinstance(element, Ref):
            return self._rule(element.rule, depth + 1)
        most = element.least + 3 if element.most is None else element.most
        times = element.least if depth > 12 else self._random.randint(element.least, most)
        times = min(times, element.least + 3)
        return "".join(self._element(element.item, depth) for _ in range(times))


def describes(rules: Rules, text: str) -> bool:
    """Whether a text is one that rules describe; found by trying all ways, for short texts."""
    return _Oracle(rules, text).describes()


class _Oracle:
    """Where each rule can end, for each place at which it can begin."""

    def __init__(self, rules: Rules, text: str) -> None:
        self._rules = rules
        self._text = text
        self._ends: dict[tuple[str, int], set[int]] = {
            (name, start): set() for name in rules.alternatives for start in range(len(text) + 1)
        }

    def describes(self) -> bool:
        grew = True
        while grew:
            grew = False
            for name, start in self._ends:
                grew |= self._grow(name, start)
        return len(self._text) in self._ends[ROOT, 0]

    def _grow(self, name: str, start: int) -> bool:
        known = self._ends[name, start]
        before = len(known)
        for alternative in self._rules.alternatives[name]:
            at = {start}
            for element in alternative:
                at = self._after(element, at)
            known |= at
        return len(known) > before

    def _after(self, element: Element, starts: set[int]) -> set[int]:
        if isinstance(element, Chars):
            return {start + 1 for start in starts if self._has(start, element)}
        if isinstance(element, Ref):
            return set().union(*(self._ends[element.rule, start] for start in starts))
        found = set(starts) if element.least == 0 else set()
        at, times = starts, 0
        most = len(self._text) + element.least + 1 if element.most is None else element.most
        while at and times < most:
            at, times = self._after(element.item, at), times + 1
            if times >= element.least:
                if at <= found and times > element.least:
                    break
                found |= at
        return found

    def _has(self, start: int, chars: Chars) -> bool:
        return start < len(self._text) and any(
            low <= ord(self._text[start]) <= high for low, high in chars.ranges
        )
