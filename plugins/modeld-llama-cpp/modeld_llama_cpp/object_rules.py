# SPDX-License-Identifier: GPL-3.0-only
"""Rules for objects with given properties."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modeld_llama_cpp.json_rules import QUOTE, JsonRules, escaped
from modeld_llama_cpp.rules import Alternative, Ref, Repeat, Rules, chars, others, text


@dataclass(frozen=True, slots=True)
class Property:
    """A property that an object may have or must have."""

    name: str
    value: Ref
    required: bool


MAX_NAMES_LENGTH = 2_000
"""How long the names to choose from may be together, summed up over all choices of an object."""


class ObjectRules:
    """Makes rules for objects.

    Properties come in the order given, then those with other names. After each property there is
    a choice of those that may be next, which goes no further than the next required one.
    """

    def __init__(self, rules: Rules, json_rules: JsonRules) -> None:
        self._rules = rules
        self._json = json_rules

    def object(self, properties: Sequence[Property], other: Ref | None, origin: str) -> Alternative:
        """An object. ``other`` is the value of properties with other names, if there may be any."""
        names = [each.name for each in properties]
        choice = [self._others(names, other, origin)] if other else []
        following = self._following(choice, origin, may_end=True)
        is_long = _choices_length(properties) > MAX_NAMES_LENGTH
        may_end = True
        for each in reversed(properties):
            rest = self._rules.add([(*self._colon(), each.value, *following)], origin)
            entry = (*_key(each.name), rest)
            if each.required:
                choice, may_end = [entry], False
            elif is_long and choice:
                choice = [entry, (self._rules.add(choice, origin),)]
            else:
                choice = [entry, *choice]
            following = self._following(choice, origin, may_end=may_end)
        return (*text("{"), *self._inside(choice, origin, may_end=may_end), *text("}"))

    def _inside(self, choice: list[Alternative], origin: str, *, may_end: bool) -> Alternative:
        space = self._json.space()
        if not choice:
            return (space,)
        members: Alternative = (*QUOTE, self._rules.add(choice, origin), space)
        if may_end:
            members = (Repeat(self._rules.add([members], origin), 0, 1),)
        return (space, *members)

    def _following(self, choice: list[Alternative], origin: str, *, may_end: bool) -> Alternative:
        """What comes after a property: a comma and one of the next, or nothing."""
        if not choice:
            return ()
        more = (*text(","), self._json.space(), *QUOTE, self._rules.add(choice, origin))
        return (self._rules.add([more, ()] if may_end else [more], origin),)

    def _others(self, names: Sequence[str], value: Ref, origin: str) -> Alternative:
        """Properties with other names than those given."""
        name = self._rules.name()
        more = self._rules.add([(*text(","), self._json.space(), *QUOTE, Ref(name))], origin)
        entry = (self._other_name(names, origin), *self._colon(), value, Repeat(more, 0, 1))
        return (self._rules.define(name, [entry], origin),)

    def _other_name(self, names: Sequence[str], origin: str) -> Ref:
        """The rest of a name, with its last quote, that is none of those given.

        Its characters are written in one way only where they could be those of a name given.
        """
        branches: dict[int, list[str]] = {}
        for name in names:
            if name:
                branches.setdefault(ord(name[0]), []).append(name[1:])
        free = others(chars((code, code) for code in branches))
        rest = (Repeat(self._json.plain_char(), 0, None), *QUOTE)
        alternatives: list[Alternative] = [(self._json.one_of(free), *rest)]
        if "" not in names:
            alternatives.append(QUOTE)
        for code, rests in branches.items():
            alternatives.append((*text(escaped(code)), self._other_name(rests, origin)))
        return self._rules.add(alternatives, origin)

    def _colon(self) -> Alternative:
        return (*text(":"), self._json.space())


def _key(name: str) -> Alternative:
    """A name with its last quote."""
    return (*text("".join(escaped(ord(char)) for char in name)), *QUOTE)


def _choices_length(properties: Sequence[Property]) -> int:
    """How long the names are together, each counted for every choice that it is in."""
    total = open_choices = 0
    for each in properties:
        open_choices += 1
        total += open_choices * len(each.name)
        if each.required:
            open_choices = 0
    return total
