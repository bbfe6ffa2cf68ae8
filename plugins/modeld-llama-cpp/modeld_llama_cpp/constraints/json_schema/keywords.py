# SPDX-License-Identifier: GPL-3.0-only
"""The keywords of JSON Schema, and what becomes of each."""

from __future__ import annotations

from modeld_llama_cpp.constraints.json_schema.schema_text import Json, Schema
from modeld_llama_cpp.constraints.problem import ConstraintError

FULLY = "fully"
SEE_BELOW = "see below"

KEPT = {
    "type": "all types of the standard",
    "enum": FULLY,
    "const": FULLY,
    "properties": FULLY,
    "required": FULLY,
    "additionalProperties": FULLY,
    "patternProperties": "up to 64 patterns, of which no name matches two",
    "minProperties": "up to 1, or up to the number of required ones",
    "maxProperties": "where all named properties are required, or where it is 1",
    "items": FULLY,
    "prefixItems": FULLY,
    "additionalItems": "beside a list in `items`, as older drafts have it",
    "minItems": "up to 4,000, all bounds of a schema together",
    "maxItems": "up to 4,000, all bounds of a schema together",
    "minLength": FULLY,
    "maxLength": FULLY,
    "pattern": SEE_BELOW,
    "format": SEE_BELOW,
    "minimum": FULLY,
    "maximum": FULLY,
    "exclusiveMinimum": "a number, or `true` as older drafts have it",
    "exclusiveMaximum": "a number, or `true` as older drafts have it",
    "multipleOf": "once at a place, with few digits",
}
"""Keywords about a value by itself, and how far each is kept to."""

APPLICATORS = {
    "$ref": "to parts of the schema (`#/…`)",
    "allOf": FULLY,
    "anyOf": FULLY,
    "oneOf": "branches that exclude each other, or can be made to",
    "not": "of required properties",
    "dependentRequired": FULLY,
    "dependentSchemas": FULLY,
    "dependencies": "fully, as older drafts have it",
}
"""Keywords that let other schemas hold for the same value, and how far each is kept to."""

SELDOM_KEPT = {
    "propertyNames": "only where it lists names, without `patternProperties`, or asks for texts",
    "if": "only where neither `then` nor `else` is there",
    "then": "only where `if` is not there",
    "else": "only where `if` is not there",
    "unevaluatedProperties": "with `false` where nothing else applies to the same object",
    "unevaluatedItems": "with `false` where nothing else applies to the same list",
    "uniqueItems": "only where there is at most one item: no grammar tells whether items differ",
    "contains": "only where `minContains` is 0",
    "minContains": "only where it asks for nothing",
    "maxContains": "only where it asks for nothing",
    "$dynamicRef": "nowhere",
    "$recursiveRef": "nowhere",
}
"""Keywords that can hardly be kept to, and where they can."""

ANNOTATIONS = frozenset(
    {
        "title", "description", "default", "examples", "example", "deprecated", "readOnly",
        "writeOnly", "discriminator", "$schema", "$id", "id", "$comment", "$anchor",
        "$dynamicAnchor", "$vocabulary", "$defs", "definitions", "contentEncoding",
        "contentMediaType", "contentSchema",
    }
)  # fmt: skip
"""Keywords that ask for nothing."""

HARMLESS: dict[str, tuple[Json, ...]] = {
    "uniqueItems": (False,),
    "minContains": (0,),
    "propertyNames": (True, {}, {"type": "string"}),
    "unevaluatedItems": (True, {}),
    "unevaluatedProperties": (True, {}),
}
"""The values with which keywords that can hardly be kept to ask for nothing."""

OPTIONS = "x-guidance"


def check_keyword(schema: Schema, keyword: str, path: str) -> None:
    """Check that a keyword asks for nothing that would be left out.

    Keywords that the standard does not know ask for nothing.

    Raises:
        ConstraintError: it does.
    """
    if keyword == OPTIONS:
        raise ConstraintError(f"{path}: options of llguidance are not taken from a schema")
    if keyword not in SELDOM_KEPT:
        return
    value = schema[keyword]
    harmless = any(type(value) is type(e) and value == e for e in HARMLESS.get(keyword, ()))
    if not harmless and not _is_kept(schema, keyword):
        raise ConstraintError(f"{path}: this keyword is supported {SELDOM_KEPT[keyword]}")


def _is_kept(schema: Schema, keyword: str) -> bool:
    """Tell whether a keyword asks for nothing, or for what can be kept to, beside the others."""
    besides = schema.keys()
    most = schema.get("maxItems")
    kept = {
        "uniqueItems": isinstance(most, int) and most <= 1,
        "contains": schema.get("minContains") == 0 and "maxContains" not in besides,
        "minContains": "contains" not in besides,
        "maxContains": "contains" not in besides,
        "if": not besides & {"then", "else"},
        "then": "if" not in besides,
        "else": "if" not in besides,
        "unevaluatedProperties": schema[keyword] is False and not besides & APPLICATORS.keys(),
        "unevaluatedItems": schema[keyword] is False
        and not besides & {*APPLICATORS, "contains", "if"},
    }
    return kept.get(keyword, False)
