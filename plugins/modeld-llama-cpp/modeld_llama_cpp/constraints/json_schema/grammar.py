# SPDX-License-Identifier: GPL-3.0-only
"""Makes a grammar for llguidance from a JSON schema."""

from __future__ import annotations

import re

import llguidance

from modeld_llama_cpp.constraints.json_schema.definitions import PREFIX, severed
from modeld_llama_cpp.constraints.json_schema.probe import OPTIONS
from modeld_llama_cpp.constraints.json_schema.schema_text import Json
from modeld_llama_cpp.constraints.json_schema.writer import SchemaWriter
from modeld_llama_cpp.constraints.limits import first_line, problem_of
from modeld_llama_cpp.constraints.problem import ConstraintError

_MAX_IMPOSSIBLE = 50
_IN_DEFINITION = re.compile(rf"while processing \S*{re.escape(PREFIX)}(\d+)")


def schema_grammar(source: Json) -> str:
    """Return a grammar for the JSON texts that conform to a schema.

    Raises:
        ConstraintError: the schema is none, too large, or asks for what cannot be kept to.
    """
    schema, paths = SchemaWriter(source).write()
    for _ in range(_MAX_IMPOSSIBLE):
        grammar: str = llguidance.LLMatcher.grammar_from_json_schema(
            schema | {"x-guidance": OPTIONS}
        )
        problem = problem_of(grammar)
        if problem is None:
            return grammar
        found = _IN_DEFINITION.search(problem)
        path = paths[int(found[1])] if found else "$"
        if not found or "Unsatisfiable schema" not in problem:
            raise ConstraintError(f"{path}: {first_line(problem)}")
        others = severed(schema, {found[1]})  # no value conforms to this one; others may do
        if others in (False, schema):
            raise ConstraintError(f"{path}: {first_line(problem)}")
        schema = others
    raise ConstraintError("$: too much of it is impossible")
