# SPDX-License-Identifier: GPL-3.0-only
"""Tells whether at most one of several JSON schemas can hold, which ``oneOf`` asks for."""

from __future__ import annotations

import json

from modeld_llama_cpp.merging import Merger
from modeld_llama_cpp.rules import GrammarError
from modeld_llama_cpp.schema_text import (
    TYPES,
    Json,
    Schema,
    list_of,
    meant_types,
    names_of,
    object_of,
    types_of,
)


def check_exclusive(branches: list[Json], merger: Merger, path: str) -> None:
    """Check that no text conforms to two schemas, as far as types and constants tell.

    Raises:
        GrammarError: one may.
    """
    flat = [
        merger.resolved(object_of(branch, f"{path}[{number}]"), f"{path}[{number}]")
        for number, branch in enumerate(branches)
    ]
    for number, one in enumerate(flat):
        for other in flat[:number]:
            if not _disjoint(one, other, merger, f"{path}[{number}]"):
                raise GrammarError(
                    f"{path}[{number}]: may hold together with another one; use `anyOf`, or a"
                    " property that is required and has another `const` in each"
                )


def constants(schema: Schema, path: str) -> list[Json] | None:
    """The only values that conform, if the schema lists them."""
    if "const" in schema:
        return [schema["const"]]
    return list_of(schema["enum"], f"{path}.enum") if "enum" in schema else None


def _disjoint(one: Schema, other: Schema, merger: Merger, path: str) -> bool:
    if _differ(one, other, path):
        return True
    meant, also_meant = _exact(meant_types(one, path)), _exact(meant_types(other, path))
    if not meant & _exact(types_of(other, path)) and not also_meant & _exact(types_of(one, path)):
        return True
    return meant == also_meant == {"object"} and any(
        _differ(
            merger.resolved(object_of(ours, path), path),
            merger.resolved(object_of(theirs, path), path),
            path,
        )
        for ours, theirs in _shared_properties(one, other, path)
    )


def _differ(one: Schema, other: Schema, path: str) -> bool:
    ours, theirs = constants(one, path), constants(other, path)
    if ours is None or theirs is None:
        return False
    return not set(map(json.dumps, ours)) & set(map(json.dumps, theirs))


def _exact(types: tuple[str, ...]) -> set[str]:
    """Types, none of which is part of another. No types are all types."""
    return {*(types or TYPES), *(["integer"] if "number" in (types or TYPES) else [])}


def _shared_properties(one: Schema, other: Schema, path: str) -> list[tuple[Json, Json]]:
    """What both have under the names that both require."""
    ours, theirs = (object_of(each.get("properties", {}), path) for each in (one, other))
    required = set(names_of(one.get("required", []), path))
    required &= set(names_of(other.get("required", []), path))
    return [
        (ours[name], theirs[name])
        for name in sorted(required)
        if isinstance(ours.get(name), dict) and isinstance(theirs.get(name), dict)
    ]
