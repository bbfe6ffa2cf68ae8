# SPDX-License-Identifier: GPL-3.0-only
"""What must hold of a grammar before anything else can be said about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from modeld_llama_cpp.rules import Alternative, Chars, GrammarError, Ref, Repeat, Rules


def check_soundness(rules: Rules) -> None:
    """Check that every rule can come to an end and that none begins with itself.

    Nor may anything be repeated that can be empty: llama.cpp would take each repetition of nothing
    as another way to go on.

    Raises:
        GrammarError: a rule breaks this.
    """
    ending = _derivable(rules, nothing=False)
    for name in rules.alternatives.keys() - ending:
        raise GrammarError(f"{rules.origins[name]} never comes to an end")
    empty = _derivable(rules, nothing=True)
    for name, repeat in _repeats(rules):
        if repeat.most != 1 and isinstance(repeat.item, Ref) and repeat.item.rule in empty:
            raise GrammarError(f"{rules.origins[name]} repeats something that can be empty")
    _check_left_recursion(rules, empty)


def _repeats(rules: Rules) -> Iterator[tuple[str, Repeat]]:
    for name, alternatives in rules.alternatives.items():
        for alternative in alternatives:
            for element in alternative:
                if isinstance(element, Repeat):
                    yield name, element


def _derivable(rules: Rules, *, nothing: bool) -> set[str]:
    """The rules from which a text can be derived, or of which nothing at all can be."""
    missing: list[tuple[str, set[str]]] = []
    waiting: dict[str, list[int]] = defaultdict(list)
    found, todo = set[str](), list[str]()
    for name, alternatives in rules.alternatives.items():
        for alternative in alternatives:
            needed = _needed(alternative, nothing=nothing)
            if needed:
                for other in needed:
                    waiting[other].append(len(missing))
                missing.append((name, needed))
            elif needed is not None:
                todo.append(name)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            for number in waiting[name]:
                rule, needed = missing[number]
                needed.discard(name)
                if not needed:
                    todo.append(rule)
    return found


def _needed(alternative: Alternative, *, nothing: bool) -> set[str] | None:
    """The rules that must be derivable for an alternative to be; None if it cannot be."""
    needed = set()
    for element in alternative:
        if isinstance(element, Repeat) and element.least == 0:
            continue
        item = element.item if isinstance(element, Repeat) else element
        if isinstance(item, Ref):
            needed.add(item.rule)
        elif nothing:
            return None
    return needed


def _check_left_recursion(rules: Rules, empty: set[str]) -> None:
    done: set[str] = set()
    for root in rules.alternatives:
        path: list[str] = []
        todo: list[tuple[str, bool]] = [(root, False)]
        while todo:
            name, left = todo.pop()
            if left:
                done.add(path.pop())
            elif name in path:
                raise GrammarError(_cycle(rules, path[path.index(name) :]))
            elif name not in done:
                path.append(name)
                todo.append((name, True))
                todo += ((first, False) for first in _firsts(rules, name, empty))


def _cycle(rules: Rules, names: list[str]) -> str:
    through = list(dict.fromkeys(rules.origins[name] for name in names))
    via = f", by way of {', '.join(through[1:4])}" if through[1:] else ""
    return f"{through[0]} begins with itself{via}; there must be something before it"


def _firsts(rules: Rules, name: str, empty: set[str]) -> Iterator[str]:
    """The rules with which a rule can begin."""
    for alternative in rules.alternatives[name]:
        for element in alternative:
            item = element.item if isinstance(element, Repeat) else element
            if isinstance(item, Chars):
                if isinstance(element, Repeat) and element.least == 0:
                    continue
                break
            yield item.rule
            if item.rule not in empty and not (isinstance(element, Repeat) and element.least == 0):
                break
