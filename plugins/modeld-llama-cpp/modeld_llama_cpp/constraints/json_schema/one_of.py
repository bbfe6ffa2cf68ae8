# SPDX-License-Identifier: GPL-3.0-only
"""Turns ``oneOf`` into choices whose branches exclude each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable

from modeld_llama_cpp.constraints.json_schema.json_types import constants, identity
from modeld_llama_cpp.constraints.json_schema.number_bounds import check_writable, written_bounds
from modeld_llama_cpp.constraints.json_schema.outline import Outline, Outlines
from modeld_llama_cpp.constraints.json_schema.probe import is_satisfiable
from modeld_llama_cpp.constraints.json_schema.references import References, Target
from modeld_llama_cpp.constraints.json_schema.schema_text import Json, Schema
from modeld_llama_cpp.constraints.json_schema.texts import written_text
from modeld_llama_cpp.constraints.problem import ConstraintError

MAX_COMPARISONS = 600
"""How many pairs of branches are compared in one schema."""

MAX_COMPARISON_BYTES = 16 << 10
"""How large schemas may be that are compared to tell branches apart; larger ones are not told."""

MAX_COMPARED_BYTES = 512 << 10
"""How large all schemas together may be that are compared to tell branches apart."""

MAX_ROUGH_DEPTH = 5
"""How many schemas inside one another are looked at to tell branches apart."""


class Exclusion:
    """Makes the branches of one schema's ``oneOf`` exclude each other."""

    def __init__(
        self,
        references: References,
        outlines: Outlines,
        definitions_of: Callable[[Json], Schema],
    ) -> None:
        self._references = references
        self._outlines = outlines
        self._definitions_of = definitions_of
        self._rough = Rough(outlines)
        self._comparisons = 0
        self._compared_bytes = 0

    def choice(
        self,
        branches: list[Target],
        context: tuple[Json, ...],
        write: Callable[[Target], Json],
        path: str,
    ) -> list[Json]:
        """Return written branches of which no two hold together, where the context holds too.

        Raises:
            ConstraintError: two branches may hold together, and the one cannot be left without a
                property that the other requires.
        """
        rough = [self._rough.write(each) for each in branches]
        rivals = self._rivals(branches, rough, context, path)
        found = []
        for number, branch in enumerate(branches):
            if rivals[number]:  # written out, not referred to, as it is only so far known
                way = write(self._references.last(branch))
                for rival in rivals[number]:
                    if self._may_be(way, rough[rival], *context, path=path):
                        way = self._without(way, branch, branches[rival], context, path)
            else:
                way = write(branch)
            if way is not False:
                found.append(way)
        if not found:
            raise ConstraintError(f"{path}: no value conforms to only one of the branches")
        return found

    def _rivals(
        self, branches: list[Target], rough: list[Json], context: tuple[Json, ...], path: str
    ) -> list[list[int]]:
        """Return for each branch the numbers of those that may hold together with it."""
        rivals: list[list[int]] = [[] for _ in branches]
        types = [self._outlines.of(each).types() for each in branches]
        listed = [_listed(self._outlines.of(each)) for each in branches]
        for number in range(len(branches)):
            for before in range(number):
                if not types[number] & types[before] or _differ(listed[number], listed[before]):
                    continue
                self._comparisons += 1
                if self._comparisons > MAX_COMPARISONS:
                    raise ConstraintError(f"{path}: too many branches to compare; use `anyOf`")
                if self._may_be(rough[number], rough[before], *context, path=path):
                    rivals[number].append(before)
                    rivals[before].append(number)
        return rivals

    def _without(
        self, way: Json, branch: Target, rival: Target, context: tuple[Json, ...], path: str
    ) -> Json:
        """Return a branch without a property that its rival requires."""
        present = self._outlines.of(branch).required()
        for name in self._outlines.of(rival).required():
            apart: Schema = {"allOf": [way, {"properties": {name: False}}]}
            if name not in present and self._may_be(apart, *context, path=path):
                return apart
        raise ConstraintError(
            f"{path}: {branch.path} may hold together with {rival.path}; use `anyOf`, or a"
            " property that is required and has another `const` in each"
        )

    def _may_be(self, *schemas: Json, path: str) -> bool:
        """Tell whether a value may conform to all of some schemas; only a no is certain."""
        if False in schemas:
            return False
        whole = {"allOf": list(schemas)}
        definitions = self._definitions_of(whole)
        schema = whole | ({"$defs": definitions} if definitions else {})
        size_bytes = len(json.dumps(schema))
        if size_bytes > MAX_COMPARISON_BYTES:
            return True
        self._compared_bytes += size_bytes
        if self._compared_bytes > MAX_COMPARED_BYTES:
            raise ConstraintError(f"{path}: too much to compare; use `anyOf`")
        return is_satisfiable(schema)


def _listed(outline: Outline) -> dict[str, set[Hashable]]:
    """Return the values of the required properties for which a schema lists some."""
    properties, found = outline.properties(), {}
    for name in outline.required():
        for each in properties.get(name, []):
            if isinstance(each.schema, dict):
                values = constants(each.schema, each.path)
                if values is not None:
                    found[name] = set(map(identity, values))
    return found


def _differ(one: dict[str, set[Hashable]], other: dict[str, set[Hashable]]) -> bool:
    """Tell whether a property that both require has other values in each."""
    return any(one[name].isdisjoint(other[name]) for name in one.keys() & other.keys())


class Rough:
    """Writes the parts of one schema so that they allow all that conforms, and more.

    What two parts exclude of each other when written like this, they exclude.
    """

    def __init__(self, outlines: Outlines) -> None:
        self._outlines = outlines

    def write(self, target: Target, depth: int = MAX_ROUGH_DEPTH) -> Json:
        """Return a schema to which at least all conforms that conforms to the one given."""
        if isinstance(target.schema, bool) or depth == 0:
            return target.schema is not False
        try:
            outline = self._outlines.of(target)
            found = [self._alone(each, depth) for each in outline.parts]
        except ConstraintError:
            return True
        return not outline.never and {"allOf": found}

    def _alone(self, target: Target, depth: int) -> Json:
        """Write what a schema says without those that hold besides."""
        schema, path = target.schema, target.path
        found: Schema = written_text(schema, path, formats=False) | written_bounds(schema, path)
        values = constants(schema, path)
        if values is not None:
            for each in values:
                check_writable(each, path)
            found["enum"] = values
        for keyword in schema.keys() & {"type", "required", "minItems", "maxItems"}:
            found[keyword] = schema[keyword]
        if named := target.named("properties"):
            found["properties"] = {
                name: self.write(each, depth - 1) for name, each in named.items()
            }
        if "additionalProperties" in schema and "patternProperties" not in schema:
            others = target.under("additionalProperties")
            found["additionalProperties"] = self.write(others, depth - 1)
        choices = [
            {"anyOf": [self.write(each, depth - 1) for each in target.listed(keyword)]}
            for keyword in ("anyOf", "oneOf")
            if keyword in schema
        ]
        return {"allOf": [found, *choices]} if choices else found
