# SPDX-License-Identifier: GPL-3.0-only
"""What a schema says about one value, by itself and by way of others that hold for the same value.

Schemas are written one by one. What has to be known of all that hold together (which properties are
named at all, which types are left) is found out here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from modeld_llama_cpp.constraints.grammars.pattern import read_pattern
from modeld_llama_cpp.constraints.json_schema.json_types import ALL_TYPES, types_in
from modeld_llama_cpp.constraints.json_schema.property_names import spelled_out
from modeld_llama_cpp.constraints.json_schema.references import References, Target
from modeld_llama_cpp.constraints.json_schema.schema_text import (
    Schema,
    names_of,
    object_of,
)
from modeld_llama_cpp.constraints.json_schema.texts import anchored
from modeld_llama_cpp.constraints.problem import ConstraintError

MAX_REFERENCES = 100
"""How many references and choices may lead to one another for one value."""

ITEMS = None
"""Stands among the names of properties for the items of a list."""

_MEANT = {
    "object": {"properties", "required", "additionalProperties", "patternProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "pattern", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What properties an object may have, as far as schemas name them."""

    names: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()
    is_open: bool = False
    speaks: bool = False

    def joined(self, other: Names) -> Names:
        """Return what two schemas name together."""
        return Names(
            names=self.names | other.names,
            patterns=self.patterns | other.patterns,
            is_open=self.is_open or other.is_open,
            speaks=self.speaks or other.speaks,
        )

    @property
    def closure(self) -> Schema:
        """Return a schema for objects that have no other properties."""
        found: Schema = {
            "properties": dict.fromkeys(sorted(self.names), True),
            "additionalProperties": False,
        }
        if self.patterns:
            found["patternProperties"] = dict.fromkeys(sorted(self.patterns), True)
        return found


@dataclass(slots=True, kw_only=True)
class Outline:
    """The schemas that all hold for a value, and groups of each of which one may hold besides."""

    parts: list[Target] = field(default_factory=list)
    groups: list[list[Target]] = field(default_factory=list)
    never: bool = False

    def extend(self, other: Outline) -> None:
        """Let another hold too."""
        self.parts += other.parts
        self.groups += other.groups
        self.never |= other.never

    def types(self) -> frozenset[str]:
        """Return the types that a value can have, as far as the schemas tell."""
        if self.never:
            return frozenset()
        return ALL_TYPES.intersection(*(types_in(each.schema, each.path) for each in self.parts))

    def meant_types(self) -> list[str]:
        """Return the types that the keywords are about."""
        keywords = {keyword for part in self.parts for keyword in part.schema}
        return [name for name, about in _MEANT.items() if about & keywords]

    def required(self) -> dict[str, None]:
        """Return the names of the properties that an object must have."""
        return {
            name: None
            for part in self.parts
            for name in names_of(part.schema.get("required", []), f"{part.path}.required")
        }

    def properties(self) -> dict[str, list[Target]]:
        """Return what each property that is named must conform to."""
        found: dict[str, list[Target]] = {}
        for part in self.parts:
            for name, each in part.named("properties").items():
                found.setdefault(name, []).append(each)
        return found

    def names(self) -> Names:
        """Return what the schemas that all hold name."""
        found = Names()
        for part in self.parts:
            required = names_of(part.schema.get("required", []), f"{part.path}.required")
            named = part.named("properties")
            patterns = part.named("patternProperties")
            here = (name for name, each in named.items() if each.schema is not False)
            found = found.joined(
                Names(
                    names=frozenset((*here, *required)),
                    patterns=frozenset(
                        anchored(read_pattern(pattern, each.path))
                        for pattern, each in patterns.items()
                    ),
                    is_open="additionalProperties" in part.schema,
                    speaks="properties" in part.schema or bool(required) or bool(patterns),
                )
            )
        return found

    def speaks_of(self) -> Iterator[str | None]:
        """Yield the names of the properties that schemas describe, once for each that does."""
        for part in self.parts:
            named = part.named("properties").items()
            yield from (name for name, each in named if not isinstance(each.schema, bool))
            if part.schema.keys() & {"items", "prefixItems"}:
                yield ITEMS


class Outlines:
    """The outlines of one schema's parts, each made once."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._known: dict[tuple[int, bool], Outline] = {}
        self._depth = 0

    def of(self, target: Target) -> Outline:
        """Return the outline of a schema.

        Raises:
            ConstraintError: it refers to itself.
        """
        if isinstance(target.schema, bool):
            return Outline(never=not target.schema)
        key = (id(target.schema), target.is_outside)
        if key not in self._known:
            if self._depth >= MAX_REFERENCES:
                raise ConstraintError(f"{target.path}: references lead to references without end")
            self._depth += 1
            try:
                self._known[key] = self._laid_out(target)
            finally:
                self._depth -= 1
        return self._known[key]

    def deep(self, targets: list[Target]) -> Iterator[Outline]:
        """Yield the outlines of schemas and of all that may hold besides, each once."""
        todo, seen = list(targets), set[int]()
        while todo:
            each = self.of(todo.pop())
            if id(each) not in seen:
                seen.add(id(each))
                yield each
                todo += (branch for group in each.groups for branch in group)

    def names(self, targets: list[Target]) -> Names:
        """Return what schemas name, with all that may hold besides them."""
        found = Names()
        for each in self.deep(targets):
            found = found.joined(each.names())
        return found

    def _laid_out(self, target: Target) -> Outline:
        object_of(target.schema, target.path)
        target = spelled_out(self._references.scoped(target), self._references)
        found = Outline(parts=[target])
        for keyword in target.schema:
            if keyword == "$ref":
                found.extend(self.of(self._references.referred(target)))
            elif keyword == "allOf":
                for each in target.listed(keyword):
                    found.extend(self.of(each))
            elif keyword in ("anyOf", "oneOf"):
                found.groups.append(target.listed(keyword))
            elif keyword in ("dependencies", "dependentSchemas"):
                needs = target.named(keyword).values()
                found.groups += ([each] for each in needs if not isinstance(each.schema, list))
        return found
