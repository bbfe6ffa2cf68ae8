# SPDX-License-Identifier: GPL-3.0-only
"""The definitions of a written schema: which are needed, come to an end, and are not too deep."""

from __future__ import annotations

from collections.abc import Iterator

from modeld_llama_cpp.constraints.json_schema.schema_text import Json, Schema
from modeld_llama_cpp.constraints.problem import ConstraintError

MAX_DEPTH = 1_200
"""How deep all definitions together may be: llguidance follows them by recursion."""

MAX_PASSES = 64
"""How often definitions are gone through until it is clear which come to an end."""

PREFIX = "#/$defs/"


def reference(name: str) -> Schema:
    """Return a reference to a definition."""
    return {"$ref": f"{PREFIX}{name}"}


def referred(schema: Json) -> str | None:
    """Return the name of the definition that a schema refers to, if it does."""
    address = schema.get("$ref") if isinstance(schema, dict) else None
    return address[len(PREFIX) :] if isinstance(address, str) else None


def inner(schema: Json) -> Iterator[Json]:
    """Yield what a schema has inside, but for the values that it lists."""
    if isinstance(schema, dict):
        yield from (each for key, each in schema.items() if not _lists(key, each))
    elif isinstance(schema, list):
        yield from schema


def _lists(key: str, value: Json) -> bool:
    return key == "enum" and isinstance(value, list)  # a property may have that name too


def needed(schema: Json, definitions: Schema) -> Schema:
    """Return the definitions that a schema refers to, directly or not; True for missing ones."""
    found: Schema = {}
    todo = [schema]
    while todo:
        value = todo.pop()
        name = referred(value)
        if name is not None and name not in found:
            found[name] = definitions.get(name, True)
            todo.append(found[name])
        todo += inner(value)
    return found


def severed(schema: Json, names: set[str]) -> Json:
    """Return a schema in which references to some definitions hold for no value."""
    if referred(schema) in names:
        return False
    if isinstance(schema, list):
        return [severed(each, names) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: each if _lists(key, each) else severed(each, names) for key, each in schema.items()
    }


def endless(definitions: Schema) -> set[str]:
    """Return the names of the definitions of which no value ever comes to an end.

    Raises:
        ConstraintError: they are too entangled to tell.
    """
    ending: set[str] = set()
    names = list(definitions)
    for _ in range(MAX_PASSES):
        names.reverse()  # one of the two directions soon settles a long chain
        before = len(ending)
        for name in names:
            if name not in ending and _ends(definitions[name], ending):
                ending.add(name)
        if len(ending) == before:
            return definitions.keys() - ending
    raise ConstraintError("$: the references are too entangled")


def check_depth(definitions: Schema) -> None:
    """Check that no way from definition to definition leads too deep.

    llguidance follows it by recursion, and ends the process where the stack does.

    Raises:
        ConstraintError: one might.
    """
    if sum(map(_depth, definitions.values())) > MAX_DEPTH:
        raise ConstraintError(f"$: all definitions together are more than {MAX_DEPTH} deep")


def _depth(value: Json) -> int:
    deepest = max(map(_depth, inner(value)), default=0)
    return deepest + isinstance(value, dict)


def _ends(schema: Json, ending: set[str]) -> bool:
    """Tell whether a schema can come to an end if some definitions do."""
    if isinstance(schema, bool):
        return schema
    name = referred(schema)
    if name is not None:
        return name in ending
    return (
        all(_ends(each, ending) for each in schema.get("allOf", []))
        and any(_ends(each, ending) for each in schema.get("anyOf", [True]))
        and (schema.get("type") != ["object"] or _object_ends(schema, ending))
        and (schema.get("type") != ["array"] or _list_ends(schema, ending))
    )


def _object_ends(schema: Schema, ending: set[str]) -> bool:
    properties = schema.get("properties", {})
    return all(_ends(properties.get(name, True), ending) for name in schema.get("required", ()))


def _list_ends(schema: Schema, ending: set[str]) -> bool:
    least, first = schema.get("minItems", 0), schema.get("prefixItems", [])
    if not all(_ends(each, ending) for each in first[:least]):
        return False
    return least <= len(first) or _ends(schema.get("items", True), ending)
