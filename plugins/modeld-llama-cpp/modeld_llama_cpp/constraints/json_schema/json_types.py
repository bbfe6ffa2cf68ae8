# SPDX-License-Identifier: GPL-3.0-only
"""The types of JSON values, told apart so that no two have a value in common."""

from __future__ import annotations

from collections.abc import Hashable

from modeld_llama_cpp.constraints.json_schema.schema_text import Json, list_of, types_of

ALL_TYPES = frozenset({"null", "boolean", "integer", "fraction", "string", "array", "object"})
"""Types of which no two have a value in common."""

_NAMES = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}


def type_of(value: Json) -> str:
    """Return the type of a value, as in :data:`ALL_TYPES`."""
    if isinstance(value, float):
        return "integer" if value.is_integer() else "fraction"
    return _NAMES.get(type(value), "null")


def types_in(schema: Json, path: str) -> frozenset[str]:
    """Return the types that a value can have, as far as a schema's own keywords tell."""
    if not isinstance(schema, dict):
        return ALL_TYPES if schema else frozenset()
    found = ALL_TYPES
    if "type" in schema:
        names = types_of(schema["type"], f"{path}.type")
        found = frozenset({*names, "fraction", "integer"} if "number" in names else names) & found
    values = constants(schema, path)
    return found if values is None else found & {type_of(value) for value in values}


def constants(schema: Json, path: str) -> list[Json] | None:
    """Return the only values that a schema allows, if it lists them."""
    listed = list_of(schema["enum"], f"{path}.enum") if "enum" in schema else None
    if "const" not in schema:
        return listed
    value = schema["const"]
    fits = listed is None or identity(value) in map(identity, listed)
    return [value] if fits else []


def identity(value: Json) -> Hashable:
    """Return what values have in common that are equal, as JSON Schema understands it."""
    if isinstance(value, list):
        return ("array", *map(identity, value))
    if isinstance(value, dict):
        return ("object", frozenset((key, identity(each)) for key, each in value.items()))
    return (type_of(value), value)
