# SPDX-License-Identifier: GPL-3.0-only
"""Grammars as trees, of which a part can be read as one by the lexer of llguidance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from modeld_llama_cpp.constraints.grammars.characters import Chars, class_of


@dataclass(frozen=True, slots=True)
class Sequence:
    """One thing after the other."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several things."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Repetition:
    """A thing from ``least`` to ``most`` times, ``None`` being without end."""

    item: Tree
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule describes."""

    name: str


@dataclass(frozen=True, slots=True)
class Terminal:
    """What the lexer reads as one. It has no rules in it."""

    tree: Tree


Tree: TypeAlias = Chars | Sequence | Choice | Repetition | Rule | Terminal

NOTHING = Sequence(())


def sequence(items: list[Tree]) -> Tree:
    """Return a sequence, or its only item."""
    flat: list[Tree] = []
    for item in items:
        flat += item.items if isinstance(item, Sequence) else (item,)
    return flat[0] if len(flat) == 1 else Sequence(tuple(flat))


def choice(items: list[Tree]) -> Tree:
    """Return a choice, or its only item."""
    flat: list[Tree] = []
    for item in items:
        flat += item.items if isinstance(item, Choice) else (item,)
    flat = list(dict.fromkeys(flat))
    return flat[0] if len(flat) == 1 else Choice(tuple(flat))


def repetition(item: Tree, least: int, most: int | None) -> Tree:
    """Return a repetition, or what it comes to."""
    if most == 0 or item == NOTHING:
        return NOTHING
    return item if least == most == 1 else Repetition(item, least, most)


def size(tree: Tree) -> int:
    """Return how many sets of characters a tree has, short repetitions written out."""
    if isinstance(tree, Sequence | Choice):
        return sum(map(size, tree.items))
    if isinstance(tree, Repetition):
        return size(tree.item) * (written_out(tree) or 1)
    return 1


def may_be_empty(tree: Tree) -> bool:
    """Tell whether a tree without rules describes the empty text."""
    if isinstance(tree, Sequence):
        return all(map(may_be_empty, tree.items))
    if isinstance(tree, Choice):
        return any(map(may_be_empty, tree.items))
    return isinstance(tree, Repetition) and (tree.least == 0 or may_be_empty(tree.item))


def written_out(tree: Repetition) -> int | None:
    """Return how often the item of a repetition is written out, if it is."""
    return tree.most if tree.most is not None and tree.most <= 8 else None


def depth(tree: Tree) -> int:
    """Return how deep a tree is."""
    if isinstance(tree, Sequence | Choice):
        return 1 + max(map(depth, tree.items), default=0)
    return 1 + depth(tree.item) if isinstance(tree, Repetition) else 1


def regex(tree: Tree) -> str:
    """Return a tree without rules as a regular expression."""
    match tree:
        case Chars():
            return class_of(tree)
        case Sequence():
            return "".join(_grouped(each, inside=Choice) for each in tree.items)
        case Choice():
            return "|".join(map(regex, tree.items))
        case Repetition():
            bounds = f"{tree.least},{'' if tree.most is None else tree.most}"
            return f"{_grouped(tree.item, inside=(Choice, Sequence, Repetition))}{{{bounds}}}"
        case _:
            raise TypeError(tree)


def _grouped(tree: Tree, *, inside: type | tuple[type, ...]) -> str:
    return f"(?:{regex(tree)})" if isinstance(tree, inside) else regex(tree)
