# SPDX-License-Identifier: GPL-3.0-only
"""A grammar as rules: what GBNF is read into, and what Lark is written from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from modeld_llama_cpp.constraints.grammars.characters import Chars

ROOT = "root"


@dataclass(frozen=True, slots=True)
class Ref:
    """What another rule describes."""

    rule: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """An item from ``least`` to ``most`` times, ``None`` being without end."""

    item: Chars | Ref
    least: int
    most: int | None


Element: TypeAlias = Chars | Ref | Repeat
Alternative: TypeAlias = tuple[Element, ...]


class Rules:
    """The rules of a grammar by name. What is described begins at :data:`ROOT`.

    ``origins`` says for each rule where it comes from, in words for people.
    """

    def __init__(self) -> None:
        self.alternatives: dict[str, list[Alternative]] = {}
        self.origins: dict[str, str] = {}
        self._made = 0

    def define(self, name: str, alternatives: Iterable[Alternative], origin: str) -> Ref:
        """Say what a name stands for."""
        self.alternatives[name] = list(dict.fromkeys(alternatives))
        self.origins[name] = origin
        return Ref(name)

    def add(self, alternatives: Iterable[Alternative], origin: str) -> Ref:
        """Return a rule under a name of its own, which no rule can have in GBNF."""
        self._made += 1
        return self.define(f"_{self._made}", alternatives, origin)

    def keep_reachable(self) -> None:
        """Drop the rules that the root does not need."""
        reached, todo = {ROOT}, [ROOT]
        while todo:
            for alternative in self.alternatives[todo.pop()]:
                new = set(references(alternative)) - reached
                reached |= new
                todo += new
        for name in self.alternatives.keys() - reached:
            del self.alternatives[name]


def item_of(element: Element) -> Chars | Ref:
    """Return what an element is, or what it repeats."""
    return element.item if isinstance(element, Repeat) else element


def references(alternative: Alternative) -> Iterable[str]:
    """Return the names of the rules that an alternative refers to."""
    for element in alternative:
        item = item_of(element)
        if isinstance(item, Ref):
            yield item.rule


def productive(rules: Rules) -> set[str]:
    """Return the names of the rules that can come to an end."""
    missing: list[tuple[str, set[str]]] = []
    waiting: dict[str, list[int]] = {}
    found, todo = set[str](), list[str]()
    for name, alternatives in rules.alternatives.items():
        for alternative in alternatives:
            needed = set(references(tuple(e for e in alternative if not _may_be_left_out(e))))
            if not needed:
                todo.append(name)
            for other in needed:
                waiting.setdefault(other, []).append(len(missing))
            missing.append((name, needed))
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for number in waiting.get(name, ()):
            rule, needed = missing[number]
            needed.discard(name)
            if not needed:
                todo.append(rule)
    return found


def _may_be_left_out(element: Element) -> bool:
    return isinstance(element, Repeat) and element.least == 0
