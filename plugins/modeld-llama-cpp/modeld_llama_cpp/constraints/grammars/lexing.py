# SPDX-License-Identifier: GPL-3.0-only
"""Splits a grammar into terminals so that reading them greedily loses nothing.

The lexer of llguidance goes on with a terminal as long as it can. This is right if what may come
after a terminal is never what the lexer would rather go on with; where it might be, the longer
terminal is cut into smaller ones. Single characters are never in the way of each other.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import product

from modeld_llama_cpp.constraints.grammars.automaton import (
    Automaton,
    Steps,
    TooLargeError,
    compared,
    joined,
)
from modeld_llama_cpp.constraints.grammars.characters import Chars
from modeld_llama_cpp.constraints.grammars.expressions import (
    NOTHING,
    Choice,
    Repetition,
    Sequence,
    Terminal,
    Tree,
    choice,
    repetition,
    sequence,
)
from modeld_llama_cpp.constraints.grammars.rules import ROOT
from modeld_llama_cpp.constraints.grammars.vicinity import Vicinity, bits

MAX_TERMINALS = 400


def cut(rules: dict[str, Tree]) -> dict[str, Tree]:
    """Return rules whose terminals are cut small enough to be read greedily."""
    if isinstance(rules[ROOT], Terminal):
        return rules
    automata: dict[Tree, Automaton] = {}
    steps = Steps()
    while True:
        vicinity = Vicinity(rules, ROOT)
        longer = [each for each in vicinity.terminals if not isinstance(each.tree, Chars)]
        wanted: dict[Terminal, Tree | None] = dict.fromkeys(longer)
        if len(vicinity.terminals) <= MAX_TERMINALS:
            with suppress(TooLargeError):  # what is single characters is right, but slow
                found = _too_long(vicinity, automata, steps)
                wanted = {each: found[each] for each in longer if each in found}
        if not wanted:
            return rules
        rules = {name: _cut(tree, wanted) for name, tree in rules.items()}


def _too_long(
    vicinity: Vicinity, automata: dict[Tree, Automaton], steps: Steps
) -> dict[Terminal, Tree | None]:
    """Return the terminals with which the lexer would go on where it must not, each with another.

    What comes after the other is what must not be gone on with.
    """
    for terminal in vicinity.terminals:
        if terminal.tree not in automata:
            automata[terminal.tree] = Automaton(terminal.tree)
    known = [automata[each.tree] for each in vicinity.terminals]
    leads = [each.first_leads for each in known]
    follows = [joined(leads, bits(after)) for after in vicinity.after]
    found: dict[Terminal, Tree | None] = {}
    groups, done = [vicinity.first, *vicinity.after], set[tuple[int, int]]()
    while groups:
        group = list(bits(groups.pop()))
        for one, other in product(group, group):
            if (one, other) in done or not leads[one] & leads[other]:
                continue
            done.add((one, other))
            more, shared = compared(known[one], known[other], steps)
            if more & follows[one]:
                found.setdefault(vicinity.terminals[other], vicinity.terminals[one].tree)
            if shared and one != other:  # then what may follow the one may come beside the other
                groups.append(vicinity.after[one] | vicinity.after[other])
    return found


def _cut(tree: Tree, wanted: dict[Terminal, Tree | None]) -> Tree:
    """Return a tree in which some terminals are cut, once where there is another to say where."""
    match tree:
        case Terminal():
            return _pieces(tree.tree, wanted[tree]) if tree in wanted else tree
        case Sequence():
            return sequence([_cut(each, wanted) for each in tree.items])
        case Choice():
            return choice([_cut(each, wanted) for each in tree.items])
        case Repetition():
            return repetition(_cut(tree.item, wanted), tree.least, tree.most)
        case _:
            return tree


def _pieces(tree: Tree, rival: Tree | None) -> Tree:
    """Return a tree cut once, where its rival ends if that can be told, or as far as possible."""

    def inner(each: Tree) -> Tree:
        if each == NOTHING:
            return NOTHING
        return _pieces(each, None) if rival is None else Terminal(each)

    match tree:
        case Sequence() if rival is not None:
            at = _end_of(rival, tree)
            before, after = sequence(list(tree.items[:at])), sequence(list(tree.items[at:]))
            return sequence([Terminal(before), Terminal(after)])
        case Sequence():
            return sequence([inner(each) for each in tree.items])
        case Choice():
            return choice([inner(each) for each in tree.items])
        case Repetition():
            return repetition(inner(tree.item), tree.least, tree.most)
        case _:
            return Terminal(tree)


def _end_of(rival: Tree, tree: Sequence) -> int:
    """Return how many items of a sequence to cut off, so that little is cut later."""
    if rival == tree:
        return len(tree.items) - 1
    items = rival.items if isinstance(rival, Sequence) else (rival,)
    if len(items) < len(tree.items) and tree.items[: len(items)] == items:
        return len(items)
    return 1
