# SPDX-License-Identifier: GPL-3.0-only
"""Writes rules as a Lark grammar that describes the same texts to llguidance.

In GBNF all characters are alike; in Lark a lexer first makes terminals of them. As much as can be
is made one terminal, for the sake of speed, and no more than :mod:`.lexing` allows.
"""

from __future__ import annotations

from collections.abc import Iterator

from modeld_llama_cpp.constraints.grammars.characters import Chars
from modeld_llama_cpp.constraints.grammars.expressions import (
    NOTHING,
    Choice,
    Repetition,
    Rule,
    Sequence,
    Terminal,
    Tree,
    choice,
    depth,
    regex,
    repetition,
    sequence,
    size,
)
from modeld_llama_cpp.constraints.grammars.lexing import cut
from modeld_llama_cpp.constraints.grammars.rules import (
    ROOT,
    Alternative,
    Element,
    Ref,
    Repeat,
    Rules,
    item_of,
    references,
)
from modeld_llama_cpp.constraints.problem import ConstraintError

MAX_TERMINAL = 4_000
MAX_DEPTH = 60
MAX_RULES = 1_000
"""How many rules may be written: llguidance goes through those inside one another by recursion."""


def write_lark(rules: Rules) -> str:
    """Return the Lark grammar for rules, whose root becomes ``start``."""
    return _Writer(cut(_Regular(rules).trees())).text()


class _Regular:
    """Finds out which rules are regular, and makes trees of all."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules.alternatives
        self._trees: dict[str, Tree] = {}

    def trees(self) -> dict[str, Tree]:
        """Return a tree for each rule that is needed, with all that is regular as terminals."""
        for name in _innermost_first(self._rules):
            self._trees[name] = self._rule(name)
        if sum(not isinstance(each, Terminal) for each in self._trees.values()) > MAX_RULES:
            raise ConstraintError(f"it comes to more than {MAX_RULES} rules")
        needed, todo = {ROOT}, [ROOT]
        found = {}
        while todo:
            name = todo.pop()
            found[name] = self._trees[name]
            new = set(_named(found[name])) - needed
            needed |= new
            todo += new
        return {name: found[name] for name in self._trees if name in found}

    def _rule(self, name: str) -> Tree:
        before: list[Tree] = []
        after: list[Tree] = []
        plain: list[Tree] = []
        alternatives = list(self._laid_out(name))
        for alternative in alternatives:
            if name not in set(references(alternative)):
                plain.append(self._sequence(alternative))
            elif alternative[-1] == Ref(name) and name not in set(references(alternative[:-1])):
                before.append(self._sequence(alternative[:-1]))
            elif alternative[0] == Ref(name) and name not in set(references(alternative[1:])):
                after.append(self._sequence(alternative[1:]))
            else:
                return self._choice([self._sequence(each) for each in alternatives])
        if before and after:
            return self._choice([self._sequence(each) for each in alternatives])
        parts = [self._choice(plain)]
        if before:
            parts.insert(0, _repeated(self._choice(before), 0, None))
        if after:
            parts.append(_repeated(self._choice(after), 0, None))
        return _merged(parts)

    def _laid_out(self, name: str) -> Iterator[Alternative]:
        """Return alternatives, with a group at their end laid out that refers to the rule."""
        for alternative in self._rules[name]:
            last = alternative[-1] if alternative else None
            group = item_of(last) if last is not None else None
            optional = isinstance(last, Repeat)
            if (
                not isinstance(group, Ref)
                or not group.rule.startswith("_")
                or (isinstance(last, Repeat) and (last.least, last.most) != (0, 1))
            ):
                yield alternative
                continue
            inner = self._rules[group.rule]
            if not any(each and each[-1] == Ref(name) for each in inner):
                yield alternative
                continue
            if optional:
                yield alternative[:-1]
            yield from ((*alternative[:-1], *each) for each in inner)

    def _sequence(self, alternative: Alternative) -> Tree:
        return _merged([self._element(each) for each in alternative])

    def _choice(self, items: list[Tree]) -> Tree:
        if all(isinstance(each, Terminal) or each == NOTHING for each in items):
            inner = choice([_inside(each) for each in items])
            if _is_small(inner):
                return Terminal(inner) if inner != NOTHING else NOTHING
        return choice(items)

    def _element(self, element: Element) -> Tree:
        item = item_of(element)
        if isinstance(item, Chars):
            found: Tree = Terminal(item)
        else:
            inner = self._trees.get(item.rule, Rule(item.rule))
            found = inner if isinstance(inner, Terminal) or inner == NOTHING else Rule(item.rule)
        if isinstance(element, Repeat):
            return _repeated(found, element.least, element.most)
        return found


def _inside(tree: Tree) -> Tree:
    return tree.tree if isinstance(tree, Terminal) else tree


def _is_small(tree: Tree) -> bool:
    return size(tree) <= MAX_TERMINAL and depth(tree) <= MAX_DEPTH


def _repeated(tree: Tree, least: int, most: int | None) -> Tree:
    if isinstance(tree, Terminal):
        inner = repetition(tree.tree, least, most)
        if inner == NOTHING:
            return NOTHING
        if _is_small(inner):
            return Terminal(inner)
    return repetition(tree, least, most)


def _merged(items: list[Tree]) -> Tree:
    """Return a sequence in which neighbouring terminals are one."""
    found: list[Tree] = []
    run: list[Tree] = []
    run_size = 0
    for item in (each for each in items if each != NOTHING):
        inner = item.tree if isinstance(item, Terminal) else None
        inner_size = size(inner) if inner is not None else 0
        if run and (inner is None or run_size + inner_size > MAX_TERMINAL):
            found.append(Terminal(sequence(run)))
            run, run_size = [], 0
        if inner is None:
            found.append(item)
        else:
            run.append(inner)
            run_size += inner_size
    return sequence([*found, Terminal(sequence(run))] if run else found)


def _innermost_first(rules: dict[str, list[Alternative]]) -> list[str]:
    """Return the names of all rules, each after those that it refers to, where that can be."""
    found: dict[str, None] = {}
    entered: set[str] = set()
    todo = [(ROOT, False)]
    while todo:
        name, left = todo.pop()
        if left:
            found[name] = None
        elif name not in entered:
            entered.add(name)
            todo.append((name, True))
            todo += (
                (each, False) for alternative in rules[name] for each in references(alternative)
            )
    return list(found)


def _named(tree: Tree) -> list[str]:
    found, todo = [], [tree]
    while todo:
        each = todo.pop()
        if isinstance(each, Rule):
            found.append(each.name)
        elif isinstance(each, Sequence | Choice):
            todo += each.items
        elif isinstance(each, Repetition):
            todo.append(each.item)
    return found


class _Writer:
    """Writes trees as Lark. All that has parts is given a name, so that nothing is nested."""

    def __init__(self, rules: dict[str, Tree]) -> None:
        self._rules = rules
        self._names = {name: f"r{number}" for number, name in enumerate(rules)}
        self._parts: dict[Tree, str] = {}
        self._terminals: dict[Tree, str] = {}

    def text(self) -> str:
        """Return the grammar."""
        lines = [f"start: {self._names[ROOT]}"]
        lines += (f"{self._names[name]}: {self._body(tree)}" for name, tree in self._rules.items())
        written = 0
        while written < len(self._parts):
            tree, name = list(self._parts.items())[written]
            lines.append(f"{name}: {self._body(tree)}")
            written += 1
        if len(lines) > MAX_RULES:
            raise ConstraintError(f"it comes to more than {MAX_RULES} rules")
        lines += (f"{name}: /{regex(tree)}/" for tree, name in self._terminals.items())
        return "\n".join(lines) + "\n"

    def _body(self, tree: Tree) -> str:
        match tree:
            case Choice():
                return " | ".join(map(self._line, tree.items))
            case _:
                return self._line(tree)

    def _line(self, tree: Tree) -> str:
        if isinstance(tree, Sequence):
            return " ".join(map(self._item, tree.items)) or '""'
        return self._item(tree)

    def _item(self, tree: Tree) -> str:
        if tree == NOTHING:
            return '""'
        if isinstance(tree, Repetition):
            most = "" if tree.most is None else tree.most
            sign = _SIGNS.get((tree.least, tree.most), f"{{{tree.least},{most}}}")
            return f"{self._name(tree.item)}{sign}"
        return self._name(tree)

    def _name(self, tree: Tree) -> str:
        match tree:
            case Rule():
                return self._names[tree.name]
            case Terminal():
                return self._terminals.setdefault(tree.tree, f"T{len(self._terminals)}")
            case _:
                return self._parts.setdefault(tree, f"p{len(self._parts)}")


_SIGNS = {(0, None): "*", (1, None): "+", (0, 1): "?"}
