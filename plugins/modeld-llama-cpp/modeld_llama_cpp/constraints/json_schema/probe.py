# SPDX-License-Identifier: GPL-3.0-only
"""Asks llguidance whether anything conforms to a schema that was written for it."""

from __future__ import annotations

from functools import lru_cache

import llguidance

from modeld_llama_cpp.constraints.json_schema.schema_text import Schema

WHITE_SPACE = r"[ ]|\n[ \t]{0,20}"
"""What may stand between the signs of a JSON text: one blank, or one line's indentation."""

OPTIONS: Schema = {
    "whitespace_flexible": False,
    "whitespace_pattern": WHITE_SPACE,
    # With `u`, a name could be written twice, and the second time escape what it is held to.
    "json_allowed_escapes": 'nrbtf\\"',
    "lenient": False,
    "coerce_one_of": False,
}


def is_satisfiable(schema: Schema) -> bool:
    """Tell whether a value may conform, as far as llguidance tells; only a no is certain."""
    problem = _problem(schema)
    return not problem.startswith("Unsatisfiable schema") or "while processing" in problem


def is_followed(schema: Schema) -> bool:
    """Tell whether llguidance can follow a schema, and finds a value that conforms."""
    return not _problem(schema)


@lru_cache(maxsize=1024)
def may_meet(one: str, other: str) -> bool:
    """Tell whether a text may match both of two anchored patterns; only a no is certain."""
    both: Schema = {"type": "string", "allOf": [{"pattern": one}, {"pattern": other}]}
    return is_satisfiable(both)


def _problem(schema: Schema) -> str:
    grammar = llguidance.LLMatcher.grammar_from_json_schema(schema | {"x-guidance": OPTIONS})
    return llguidance.LLMatcher.validate_grammar(grammar)
