# SPDX-License-Identifier: GPL-3.0-only
"""Finds what the references in a JSON schema refer to, without ever leaving the schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from modeld_llama_cpp.constraints.json_schema.keywords import ANNOTATIONS
from modeld_llama_cpp.constraints.json_schema.schema_text import (
    Json,
    Schema,
    inside,
    list_of,
    object_of,
)
from modeld_llama_cpp.constraints.problem import ConstraintError


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A schema and its path.

    ``is_outside`` tells that it is part of what has an address of its own, where ``#`` is not the
    root. ``elsewhere`` are properties whose schemas do not stand under ``properties``.
    """

    schema: Json
    path: str
    is_outside: bool = False
    elsewhere: Mapping[str, Target] = field(default_factory=dict)

    def under(self, *steps: str | int) -> Target:
        """Return what is inside under some keys and numbers."""
        found, path = self.schema, self.path
        for step in steps:
            found = found[step]
            path = inside(path, step) if isinstance(step, str) else f"{path}[{step}]"
        return Target(schema=found, path=path, is_outside=self.is_outside)

    def listed(self, keyword: str) -> list[Target]:
        """Return the schemas that a keyword lists."""
        values = list_of(self.schema[keyword], f"{self.path}.{keyword}")
        return [self.under(keyword, number) for number in range(len(values))]

    def named(self, keyword: str) -> dict[str, Target]:
        """Return the schemas that a keyword has by name."""
        values = object_of(self.schema.get(keyword, {}), f"{self.path}.{keyword}")
        found = {name: self.under(keyword, name) for name in values}
        return {**found, **self.elsewhere} if keyword == "properties" else found


def is_reference(schema: Schema) -> bool:
    """Tell whether a schema is nothing but a reference."""
    return "$ref" in schema and len(schema.keys() - ANNOTATIONS) == 1


class References:
    """What the references of one schema refer to: parts of it, by their place (``#/…``)."""

    def __init__(self, root: Json) -> None:
        dialect = root.get("$schema") if isinstance(root, dict) else None
        old = isinstance(dialect, str) and ("draft-03" in dialect or "draft-04" in dialect)
        self._id = "id" if old else "$id"
        self._root = root

    def scoped(self, target: Target) -> Target:
        """Return a schema that is outside of the root's address if it gives itself another."""
        given = target.schema.get(self._id)
        moved = isinstance(given, str) and not given.startswith("#")
        if moved and target.schema is not self._root:
            return replace(target, is_outside=True)
        return target

    def referred(self, target: Target) -> Target:
        """Return what the ``$ref`` of a schema refers to.

        Raises:
            ConstraintError: it is none, leads out of the schema, or to nothing.
        """
        reference, path = target.schema["$ref"], f"{target.path}.$ref"
        if not isinstance(reference, str):
            raise ConstraintError(f"{path}: must be a text")
        if not re.match("#(/|$)", reference) or target.is_outside:
            raise ConstraintError(
                f"{path}: only references inside the schema (`#/…`) are supported, and none behind"
                f" another `{self._id}`"
            )
        found = Target(schema=self._root, path="$")
        for step in unquote(reference).split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found.schema, dict) and key in found.schema:
                found = found.under(key)
            elif isinstance(found.schema, list) and key[:9] in map(str, range(len(found.schema))):
                found = found.under(int(key[:9]))
            else:
                raise ConstraintError(f"{path}: there is nothing at {reference[:200]!a}")
            if isinstance(found.schema, dict) and not key.startswith("$"):
                found = self.scoped(found)
        return found

    def last(self, target: Target) -> Target:
        """Return what a schema refers to if it is nothing but a reference, or that in turn."""
        seen = set()
        while isinstance(target.schema, dict) and is_reference(target.schema):
            if target.path in seen:
                raise ConstraintError(f"{target.path}: references lead to references without end")
            seen.add(target.path)
            target = self.referred(self.scoped(target))
        return target
