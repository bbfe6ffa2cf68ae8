# SPDX-License-Identifier: GPL-3.0-only
"""Makes one JSON schema of several that must all hold."""

from __future__ import annotations

import json
from collections.abc import Callable

from modeld_llama_cpp.rules import GrammarError
from modeld_llama_cpp.schema_text import (
    ANNOTATIONS,
    MAX_REFERENCE,
    Json,
    Schema,
    check_keywords,
    inside,
    list_of,
    names_of,
    object_of,
    target,
    types_of,
)


class Merger:
    """Resolves ``allOf``, and ``$ref`` where there is more beside it."""

    def __init__(self, root: Json) -> None:
        self._root = root

    def flat(self, schema: Schema, path: str, depth: int = 0) -> Schema:
        """A schema that says the same without ``allOf``, and without ``$ref`` beside other things.

        Raises:
            GrammarError: its parts do not go together, or refer to each other without end.
        """
        check_keywords(schema, path)
        if depth > MAX_REFERENCE:
            raise GrammarError(f"{path}: references lead to references without end")
        if "$ref" in schema and not needs_merging(schema):
            return schema
        rest = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        parts: list[tuple[Json, str]] = []
        if "$ref" in schema:
            place = f"{path}.$ref"
            parts.append((target(self._root, schema["$ref"], place), place))
        if "allOf" in schema:
            all_of = list_of(schema["allOf"], f"{path}.allOf")
            parts += ((part, f"{path}.allOf[{i}]") for i, part in enumerate(all_of))
        for part, place in parts:
            if part is not True:
                flat = self.resolved(object_of(part, place), place, depth + 1)
                rest = self.merged(rest, flat, place)
        return rest

    def resolved(self, schema: Schema, path: str, depth: int = 0) -> Schema:
        """A flat schema that is not a reference."""
        flat = self.flat(schema, path, depth)
        while "$ref" in flat:
            depth += 1
            place = f"{path}.$ref"
            found = object_of(target(self._root, flat["$ref"], place), place)
            flat = self.flat(found, place, depth)
        return flat

    def merged(self, one: Schema, other: Schema, path: str) -> Schema:
        """What holds if both of two flat schemas do."""
        result = dict(one)
        _check_closed(one, other, path)
        for keyword, value in other.items():
            if keyword not in result:
                result[keyword] = value
            elif keyword in _MERGERS:
                result[keyword] = _MERGERS[keyword](one, other, inside(path, keyword))
            elif keyword not in ANNOTATIONS and result[keyword] != value:
                raise GrammarError(f"{inside(path, keyword)}: cannot hold together with another")
        return result


def needs_merging(schema: Schema) -> bool:
    """Whether there is anything beside a reference that matters."""
    return bool(schema.keys() - ANNOTATIONS - {"$ref"})


def _check_closed(one: Schema, other: Schema, path: str) -> None:
    """Refuse to add properties to an object that allows no others."""
    for a, b in ((one, other), (other, one)):
        if a.get("additionalProperties", True) is not True:
            known = object_of(a.get("properties", {}), path)
            if not object_of(b.get("properties", {}), path).keys() <= known.keys():
                raise GrammarError(
                    f"{path}: adds properties to what has `additionalProperties` of its own"
                )


def _merged_types(one: Schema, other: Schema, path: str) -> Json:
    ours, theirs = types_of(one, path), types_of(other, path)
    both = [name for name in ours if name in theirs]
    if {"integer", "number"} & set(ours) and {"integer", "number"} & set(theirs):
        both = [*both, "integer"] if "number" not in both else both
    if not both:
        raise GrammarError(f"{path}: no type is among all that are asked for")
    return list(dict.fromkeys(both))


def _merged_properties(one: Schema, other: Schema, path: str) -> Json:
    ours, theirs = object_of(one["properties"], path), object_of(other["properties"], path)
    both: dict[str, Json] = {
        name: {"allOf": [ours[name], theirs[name]]} for name in ours if name in theirs
    }
    return ours | theirs | both


def _merged_required(one: Schema, other: Schema, path: str) -> Json:
    return list(dict.fromkeys(names_of(one["required"], path) + names_of(other["required"], path)))


def _merged_enum(one: Schema, other: Schema, path: str) -> Json:
    theirs = [json.dumps(value) for value in list_of(other["enum"], path)]
    both = [value for value in list_of(one["enum"], path) if json.dumps(value) in theirs]
    if not both:
        raise GrammarError(f"{path}: no value is among all that are asked for")
    return both


def _stricter(choose: Callable[[list[float]], float], keyword: str) -> Callable[..., Json]:
    def merge(one: Schema, other: Schema, path: str) -> Json:
        values = [
            value
            for value in (one[keyword], other[keyword])
            if isinstance(value, int | float) and not isinstance(value, bool)
        ]
        if len(values) < 2:
            raise GrammarError(f"{path}: must be a number")
        return choose(values)

    return merge


_MERGERS: dict[str, Callable[[Schema, Schema, str], Json]] = {
    "type": _merged_types,
    "properties": _merged_properties,
    "required": _merged_required,
    "enum": _merged_enum,
    "items": lambda one, other, _: {"allOf": [one["items"], other["items"]]},
    **{
        name: _stricter(max, name)
        for name in ("minimum", "exclusiveMinimum", "minLength", "minItems")
    },
    **{
        name: _stricter(min, name)
        for name in ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
    },
}
