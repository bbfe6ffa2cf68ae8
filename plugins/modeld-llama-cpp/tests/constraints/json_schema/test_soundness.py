# SPDX-License-Identifier: GPL-3.0-only
"""No text can be written that does not conform, whatever keywords stand beside each other."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import jsonschema
from following import compiled, walk
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.errors import InvalidRequestError

NAMES = st.sampled_from(["a", "b", "ab"])
VALUES = st.sampled_from([0, 1, 2.5, "a", "b", "ab", True, None, [1], {"a": 1}])
SMALL = st.integers(0, 3)

LISTED = st.fixed_dictionaries({"enum": st.lists(NAMES, min_size=1, max_size=2)})

LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.fixed_dictionaries({"type": st.sampled_from(["string", "integer", "null", "object"])}),
    st.fixed_dictionaries(
        {"type": st.lists(st.sampled_from(["string", "number", "array"]), min_size=1)}
    ),
    st.fixed_dictionaries({"const": VALUES}),
    st.fixed_dictionaries({"enum": st.lists(VALUES, min_size=1, max_size=4)}),
    st.fixed_dictionaries({"minimum": SMALL}, optional={"exclusiveMaximum": SMALL}),
    st.fixed_dictionaries({"minLength": SMALL}, optional={"maxLength": SMALL}),
    st.fixed_dictionaries({"pattern": st.sampled_from(["^a", "^[ab]+$", "b$", "^a{2}"])}),
    st.fixed_dictionaries({"required": st.lists(NAMES, min_size=1, max_size=2)}),
    st.fixed_dictionaries({"minItems": SMALL}, optional={"maxItems": SMALL}),
    st.fixed_dictionaries({"minProperties": SMALL}, optional={"maxProperties": SMALL}),
)


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "string"]),
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "^b"]), inner, max_size=2),
            "additionalProperties": inner,
            "required": st.lists(NAMES, max_size=2),
            "propertyNames": st.one_of(inner, LISTED),
            "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2), max_size=2),
            "dependentSchemas": st.dictionaries(NAMES, inner, max_size=1),
            "unevaluatedProperties": st.booleans(),
            "items": inner,
            "prefixItems": some,
            "unevaluatedItems": st.booleans(),
            "allOf": some,
            "anyOf": some,
            "oneOf": some,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "$ref": st.just("#/$defs/x"),
        },
    )


SCHEMAS = st.recursive(LEAVES, schemas, max_leaves=10)
OTHERS = SCHEMAS.filter(lambda schema: "$ref" not in json.dumps(schema))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(schema=SCHEMAS, other=OTHERS, seed=st.integers(0, 10**6))
def test_what_is_written_conforms(schema: Any, other: Any, seed: int) -> None:
    if isinstance(schema, dict):
        schema = schema | {"$defs": {"x": other}}
    try:
        grammar = compiled("json_schema", schema)
    except InvalidRequestError:
        return
    validator = jsonschema.Draft202012Validator(schema)
    for number in range(3):
        text = walk(grammar, Random(seed + number), 150)
        if text is not None:
            validator.validate(json.loads(text))
