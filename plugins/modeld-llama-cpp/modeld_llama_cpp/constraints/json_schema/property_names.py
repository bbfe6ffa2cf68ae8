# SPDX-License-Identifier: GPL-3.0-only
"""Spells out the properties of an object whose schema lists the names that they may have.

A map whose keys are some texts, as Pydantic has it, comes as ``propertyNames`` with an ``enum``.
No grammar has names by themselves, but it says the same to name each property.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from modeld_llama_cpp.constraints.json_schema.json_types import constants, types_in
from modeld_llama_cpp.constraints.json_schema.keywords import ANNOTATIONS
from modeld_llama_cpp.constraints.json_schema.references import References, Target
from modeld_llama_cpp.constraints.json_schema.schema_text import Schema

_LISTING: Final = {"enum", "const", "type"}
_APART: Final = {"patternProperties", "unevaluatedProperties"}
"""What depends on which properties are named, and not only on what they conform to."""


def spelled_out(target: Target, references: References) -> Target:
    """Return a schema that means the same without ``propertyNames``, where that lists names.

    Each name that it lists conforms to what ``properties`` says of it, or else to
    ``additionalProperties``. There are no others.
    """
    schema: Schema = target.schema
    if "propertyNames" not in schema or schema.keys() & _APART:
        return target
    names = _listed(references.last(target.under("propertyNames")))
    if names is None:
        return target
    named = {name: each.schema for name, each in target.named("properties").items()}
    allowed = {name: each if name in names else False for name, each in named.items()}
    unnamed = [name for name in names if name not in named]
    elsewhere = {}
    if "additionalProperties" in schema:
        elsewhere = dict.fromkeys(unnamed, target.under("additionalProperties"))
    else:
        allowed |= dict.fromkeys(unnamed, True)
    kept = {keyword: each for keyword, each in schema.items() if keyword != "propertyNames"}
    kept |= {"properties": allowed, "additionalProperties": False}
    return replace(target, schema=kept, elsewhere=elsewhere)


def _listed(names: Target) -> Sequence[str] | None:
    """Return the texts that a schema allows, if it only lists them."""
    schema = names.schema
    if not isinstance(schema, dict) or not schema.keys() & {"enum", "const"}:
        return None
    if schema.keys() - ANNOTATIONS - _LISTING:
        return None
    if "string" not in types_in(schema, names.path):
        return ()
    values = constants(schema, names.path) or ()
    return tuple(dict.fromkeys(each for each in values if isinstance(each, str)))
