# SPDX-License-Identifier: GPL-3.0-only
"""Writes schemas roughly: they allow all that conforms, and more, to tell what excludes what."""

from __future__ import annotations

from modeld_llama_cpp.constraints.json_schema.json_types import constants
from modeld_llama_cpp.constraints.json_schema.number_bounds import check_writable, written_bounds
from modeld_llama_cpp.constraints.json_schema.outline import Outlines
from modeld_llama_cpp.constraints.json_schema.references import Target
from modeld_llama_cpp.constraints.json_schema.schema_text import Json, Schema
from modeld_llama_cpp.constraints.json_schema.texts import written_text
from modeld_llama_cpp.constraints.problem import ConstraintError

MAX_DEPTH = 5
"""How many schemas inside one another are looked at."""


class Rough:
    """Writes the parts of one schema roughly."""

    def __init__(self, outlines: Outlines) -> None:
        self._outlines = outlines

    def write(self, target: Target, depth: int = MAX_DEPTH) -> Json:
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
