# SPDX-License-Identifier: GPL-3.0-only
"""Checks of constraints that need no worker: their sizes and what is wrong on sight.

What is wrong is told in words that go on after its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from modeld.requests import GenerateRequest

MAX_GRAMMAR_BYTES = 65_536
MAX_LARK_BYTES = 65_536
MAX_REGEX_BYTES = 4096
MAX_SCHEMA_BYTES = 262_144
MAX_CHOICES = 1024
MAX_CHOICE_BYTES = 65_536
"""All texts of a choice together."""

MAX_SCHEMA_NESTING = 64
"""As deep as a request's body may be. How deep Python itself reads differs by its version."""

_CONTAINERS = (dict, list)  # quicker to tell than a Mapping, and all that JSON is decoded to
_TOO_DEEP = f"is nested more than {MAX_SCHEMA_NESTING} levels deep"


def fault_of_grammar(grammar: str) -> str | None:
    """Return what is wrong with a grammar in GBNF, or None."""
    return _fault_of_text(grammar, MAX_GRAMMAR_BYTES)


def fault_of_lark(grammar: str) -> str | None:
    """Return what is wrong with a grammar in Lark's notation, or None."""
    return _fault_of_text(grammar, MAX_LARK_BYTES)


def fault_of_regex(regex: str) -> str | None:
    """Return what is wrong with a regular expression, or None."""
    return _fault_of_text(regex, MAX_REGEX_BYTES, blank=True)


def fault_of_choice(choice: Sequence[str]) -> str | None:
    """Return what is wrong with the texts of which a generation is to be one, or None."""
    if not choice:
        return "is empty"
    if len(choice) > MAX_CHOICES:
        return f"has {len(choice)} texts; at most {MAX_CHOICES} are taken"
    if "" in choice:
        return "has a text that is empty"
    try:
        size_bytes = sum(len(text.encode()) for text in choice)
    except UnicodeEncodeError as exc:
        return f"has half of a surrogate pair at character {exc.start} of a text"
    if size_bytes > MAX_CHOICE_BYTES:
        return f"has texts of more than {MAX_CHOICE_BYTES} bytes together"
    return None


def fault_of_schema(schema: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a JSON schema, or None."""
    try:
        size_bytes = len(msgspec.json.encode(schema))
    except RecursionError:
        return _TOO_DEEP
    if size_bytes > MAX_SCHEMA_BYTES:  # and a walk over it would take long
        return f"is longer than {MAX_SCHEMA_BYTES} bytes as JSON"
    if _is_deeper(schema, MAX_SCHEMA_NESTING):
        return _TOO_DEEP
    try:
        msgspec.msgpack.encode(schema)
    except OverflowError:
        return "has a whole number of more than 64 bits"
    return None


FAULTS: Mapping[str, Callable[[Any], str | None]] = {
    "grammar": fault_of_grammar,
    "json_schema": fault_of_schema,
    "regex": fault_of_regex,
    "lark": fault_of_lark,
    "choice": fault_of_choice,
}
"""The fields of a request that constrain its generation, of which one may be set, and what finds
their faults."""


def fault_of_constraints(request: GenerateRequest) -> tuple[str, str] | None:
    """Return the field that is wrong about a request's constraints and what is wrong, or None."""
    given = {name: said for name in FAULTS if (said := getattr(request, name)) is not None}
    if fault := fault_of_many(given):
        return fault
    for name, said in given.items():
        if found := FAULTS[name](said):
            return name, found
    return None


def fault_of_many(names: Mapping[str, object]) -> tuple[str, str] | None:
    """Return what is wrong if several constraints are given, with the first of them, or None."""
    if len(names) < 2:
        return None
    first, second = list(names)[:2]
    return first, f"cannot be given together with {second}; send one of them"


def _fault_of_text(text: str, most: int, *, blank: bool = False) -> str | None:
    if not (text if blank else text.strip()):
        return "is empty"
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError as exc:
        return f"has half of a surrogate pair at character {exc.start}"
    return f"is longer than {most} bytes" if size_bytes > most else None


def _is_deeper(value: object, levels: int) -> bool:
    """Tell whether arrays and objects are nested more than so many levels deep."""
    level = [value]
    for _ in range(levels):
        children: list[object] = []
        for one in level:
            if isinstance(one, dict):
                children += one.values()
            elif isinstance(one, list):
                children += one
        level = [child for child in children if isinstance(child, _CONTAINERS)]
        if not level:
            return False
    return True
