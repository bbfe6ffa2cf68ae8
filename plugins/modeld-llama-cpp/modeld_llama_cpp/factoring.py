# SPDX-License-Identifier: GPL-3.0-only
"""Rewrites rules so that llama.cpp has fewer ways to follow at once.

llama.cpp follows every alternative that may still match, and looks through the whole vocabulary
for each (0.5 ms for 49,000 tokens). Alternatives that begin alike are therefore written as one
that branches where they differ: ``"car" | "cat"`` as ``"ca" ("r" | "t")``, and an enumeration of
a thousand words has as many ways as first letters. What the grammar describes stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from modeld_llama_cpp.rules import Alternative, Chars, Element, Rules, chars


def factor(rules: Rules) -> None:
    """Write out what alternatives begin with only once, in all rules."""
    todo = list(rules.alternatives)
    while todo:
        todo += _factor(rules, todo.pop())


def _factor(rules: Rules, name: str) -> list[str]:
    """Do so in one rule. What is added is to be done next."""
    grouped: dict[Element | None, list[Alternative]] = {}
    for alternative in _joined(rules.alternatives[name]):
        grouped.setdefault(alternative[0] if alternative else None, []).append(alternative)
    result: list[Alternative] = []
    added: list[str] = []
    for group in grouped.values():
        if len(group) == 1:
            result += group
            continue
        size = _common_length(group)
        branch = rules.add((each[size:] for each in group), rules.origins[name])
        result.append((*group[0][:size], branch))
        added.append(branch.rule)
    rules.alternatives[name] = result
    return added


def _joined(alternatives: Iterable[Alternative]) -> list[Alternative]:
    """Alternatives that differ only in their first character become one with a set."""
    sets: dict[Alternative, list[tuple[int, int]]] = {}
    result: list[Alternative] = []
    for alternative in alternatives:
        if alternative and isinstance(alternative[0], Chars):
            sets.setdefault(alternative[1:], []).extend(alternative[0].ranges)
        else:
            result.append(alternative)
    return result + [(chars(ranges), *rest) for rest, ranges in sets.items()]


def _common_length(group: list[Alternative]) -> int:
    shortest = min(map(len, group))
    for size in range(1, shortest):
        if any(each[size] != group[0][size] for each in group):
            return size
    return shortest
