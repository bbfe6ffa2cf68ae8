# SPDX-License-Identifier: GPL-3.0-only
"""A grammar as rules: what GBNF and JSON schemas are read into, and what is checked and written.

All modules that handle grammars run in a limited process (:mod:`.grammar_check`), so that they
import nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

MAX_REPEATS = 2_000
"""How often something may be repeated at most, if there is an upper bound at all."""

MAX_CODE = 0x10FFFF

ROOT = "root"


class GrammarError(Exception):
    """A grammar or a schema cannot be used; the message says why and where."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a set: sorted, disjoint ranges of code points, both ends included."""

    ranges: tuple[tuple[int, int], ...]


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
        """A rule under a name of its own."""
        return self.define(self.name(), alternatives, origin)

    def repeated(self, item: Chars | Ref, least: int, most: int | None, origin: str) -> Repeat:
        """An item from ``least`` to ``most`` times.

        llama.cpp takes fewer than :data:`MAX_REPEATS` for ``most``.
        """
        if least == 0 and most == MAX_REPEATS:
            return Repeat(self.add([(item, Repeat(item, 0, most - 1))], origin), 0, 1)
        return Repeat(item, least, most)

    def name(self) -> str:
        """A name that no rule has, nor can have in GBNF."""
        self._made += 1
        return f"_{self._made}"

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


def references(alternative: Alternative) -> Iterable[str]:
    """The names of the rules that an alternative refers to."""
    for element in alternative:
        item = element.item if isinstance(element, Repeat) else element
        if isinstance(item, Ref):
            yield item.rule


def chars(ranges: Iterable[tuple[int, int]]) -> Chars:
    """The set of all characters in ranges that may be unsorted and overlap."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return Chars(tuple(merged))


def others(given: Chars) -> Chars:
    """The set of all characters but those given. NUL is never among them: no text has one."""
    gaps, start = [], 1
    for low, high in given.ranges:
        if start < low:
            gaps.append((start, low - 1))
        start = max(start, high + 1)
    if start <= MAX_CODE:
        gaps.append((start, MAX_CODE))
    return Chars(tuple(gaps))


def common(one: Chars, other: Chars) -> Chars:
    """The set of the characters that both have."""
    return Chars(
        tuple(
            (max(a, c), min(b, d))
            for a, b in one.ranges
            for c, d in other.ranges
            if max(a, c) <= min(b, d)
        )
    )


def text(literal: str) -> Alternative:
    """The characters of a text, one after the other."""
    return tuple(Chars(((ord(char), ord(char)),)) for char in literal)
