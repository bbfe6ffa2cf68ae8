# SPDX-License-Identifier: GPL-3.0-only
"""Writes the keywords of a schema that have a meaning by themselves."""

from __future__ import annotations

from typing import Protocol

from modeld_llama_cpp.constraints.grammars.pattern import read_pattern
from modeld_llama_cpp.constraints.json_schema.json_types import constants, type_of, types_in
from modeld_llama_cpp.constraints.json_schema.keywords import check_keyword
from modeld_llama_cpp.constraints.json_schema.number_bounds import (
    check_writable,
    narrowed,
    written_bounds,
)
from modeld_llama_cpp.constraints.json_schema.outline import ITEMS, Outline
from modeld_llama_cpp.constraints.json_schema.probe import may_meet
from modeld_llama_cpp.constraints.json_schema.references import Target
from modeld_llama_cpp.constraints.json_schema.schema_text import (
    Json,
    Schema,
    check_order,
    count_of,
    inside,
    names_of,
    types_of,
    whole,
)
from modeld_llama_cpp.constraints.json_schema.texts import anchored, written_text
from modeld_llama_cpp.constraints.problem import ConstraintError

MAX_PATTERNS = 64
"""How many patterns one object may have for names: each is compared with each."""

MAX_ITEMS = 4_000
"""How many items of arrays may be counted in one schema, all bounds together."""


class Value(Protocol):
    """Writes the schema of another value."""

    def __call__(self, target: Target, *, closed: bool) -> Json:
        """Return a schema for llguidance."""


class Plain:
    """Writes the plain keywords of one schema's parts."""

    def __init__(self, value: Value) -> None:
        self._value = value
        self._counted = 0

    def write(
        self,
        target: Target,
        outline: Outline,
        doubled: frozenset[str | None],
        meant: list[str],
        *,
        closed: bool,
    ) -> Schema | None:
        """Return what holds if a schema's own keywords do; None if nothing does.

        ``doubled`` are the properties that other schemas describe too, ``meant`` are the types
        that stand for none, and ``closed`` tells that no other properties are to be.
        """
        schema, path = target.schema, target.path
        for keyword in schema:
            check_keyword(schema, keyword, inside(path, keyword))
        found: Schema = {}
        values = constants(schema, path)
        if values is not None:
            types = types_in(schema, path)
            values = [each for each in values if type_of(each) in types]
            if not values:
                return None
            for each in values:
                check_writable(each, inside(path, "const" if "const" in schema else "enum"))
            found["enum"] = values
        elif "type" in schema:
            found["type"] = _types(schema["type"], f"{path}.type")
        elif meant:
            found["type"] = meant
        found |= self._object(target, doubled)
        found |= self._array(target, closed=ITEMS not in doubled)
        found |= written_text(schema, path) | written_bounds(schema, path)
        if "integer" in found.get("type", ()):
            found = narrowed(found)
        _check_counts(found, outline, path, closed=closed)
        return found

    def _object(self, target: Target, doubled: frozenset[str | None]) -> Schema:
        schema, path = target.schema, target.path
        found: Schema = {}
        if "properties" in schema:
            found["properties"] = {
                whole(name, f"{path}.properties"): self._value(each, closed=name not in doubled)
                for name, each in target.named("properties").items()
            }
        if "patternProperties" in schema:
            found["patternProperties"] = self._by_pattern(target.named("patternProperties"), path)
        if "additionalProperties" in schema:
            others = target.under("additionalProperties")
            found["additionalProperties"] = self._value(others, closed=True)
        elif schema.get("unevaluatedProperties") is False:
            found["additionalProperties"] = False
        if "required" in schema:
            found["required"] = names_of(schema["required"], f"{path}.required")
        for keyword in schema.keys() & {"minProperties", "maxProperties"}:
            found[keyword] = count_of(schema[keyword], f"{path}.{keyword}")
        return found

    def _by_pattern(self, patterns: dict[str, Target], path: str) -> Schema:
        if len(patterns) > MAX_PATTERNS:
            raise ConstraintError(
                f"{path}.patternProperties: more than {MAX_PATTERNS} patterns in one object"
            )
        found: Schema = {}
        for pattern, each in patterns.items():
            expression = anchored(read_pattern(pattern, each.path))
            for before, other in zip(patterns, found, strict=False):
                if may_meet(other, expression):
                    raise ConstraintError(f"{each.path}: a name may match {before[:80]!a} too")
            found[expression] = self._value(each, closed=True)
        return found

    def _array(self, target: Target, *, closed: bool) -> Schema:
        schema, path = target.schema, target.path
        found: Schema = {}
        first, others = "prefixItems", "items"
        if isinstance(schema.get("items"), list):
            first, others = "items", "additionalItems"
        if first in schema:
            items = [target.under(first, number) for number in range(len(_list(target, first)))]
            found["prefixItems"] = [self._value(each, closed=closed) for each in items]
        if others in schema:
            found["items"] = self._value(target.under(others), closed=closed)
        elif schema.get("unevaluatedItems") is False:
            found["items"] = False
        for keyword in schema.keys() & {"minItems", "maxItems"}:
            found[keyword] = self._count(schema[keyword], f"{path}.{keyword}")
        check_order(found, "minItems", "maxItems", path)
        return found

    def _count(self, value: Json, path: str) -> int:
        count = count_of(value, path)
        self._counted += count
        if self._counted > MAX_ITEMS:
            raise ConstraintError(
                f"{path}: {count:g} items are too many; at most {MAX_ITEMS} are counted, all bounds"
                " together"
            )
        return count


def _list(target: Target, keyword: str) -> list[Json]:
    value = target.schema[keyword]
    if not isinstance(value, list):
        raise ConstraintError(f"{target.path}.{keyword}: must be a list")
    return value


def _types(value: Json, path: str) -> list[str]:
    names = types_of(value, path)
    return [name for name in names if name != "integer" or "number" not in names]


def _check_counts(found: Schema, outline: Outline, path: str, *, closed: bool) -> None:
    """Check that properties are counted only where llguidance can, and no name might repeat."""
    required = outline.required()
    if found.get("minProperties", 0) > len(required) + 1:
        raise ConstraintError(
            f"{path}.minProperties: {found['minProperties']} is more than the required ones, and"
            " names might repeat"
        )
    optional = [
        name
        for name, each in outline.properties().items()
        if name not in required and all(one.schema is not False for one in each)
    ]
    keywords = [each.schema for each in outline.parts]
    countable = closed or any(each.get("additionalProperties") is False for each in keywords)
    countable &= all("patternProperties" not in each for each in keywords)
    most = found.get("maxProperties")
    for keyword in ("minProperties", "maxProperties"):
        counts = keyword in found and (most is not None or found[keyword] > len(required))
        if optional and counts and not (countable and most in (None, len(required) + 1)):
            raise ConstraintError(
                f"{path}.{keyword}: not supported beside properties that are optional"
            )
