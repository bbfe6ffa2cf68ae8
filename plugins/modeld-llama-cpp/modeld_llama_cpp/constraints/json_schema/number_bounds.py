# SPDX-License-Identifier: GPL-3.0-only
"""Writes the bounds of numbers, and checks that numbers and texts can be written as they are."""

from __future__ import annotations

from math import isfinite

from modeld_llama_cpp.constraints.json_schema.schema_text import (
    Json,
    Schema,
    check_order,
    number_of,
    whole,
)
from modeld_llama_cpp.constraints.problem import ConstraintError

MAX_WHOLE = 9_999_999_999_999_999
"""The largest integer that is written where no bound is given, so that digits come to an end."""

_MAX_BOUND = 10**18
_BOUNDS = (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum"))
_CONTROLS = frozenset(map(chr, range(32))) - set("\b\t\n\f\r")


def written_bounds(schema: Schema, path: str) -> Schema:
    """Return the bounds of a schema's numbers.

    Raises:
        ConstraintError: one is no number, or cannot be kept to exactly.
    """
    found: Schema = {}
    for inclusive, exclusive in _BOUNDS:
        given = schema.get(exclusive)
        bound = schema.get(inclusive)
        if bound is not None:
            name = exclusive if given is True else inclusive
            found[name] = _bound(bound, f"{path}.{inclusive}")
        if given is not None and not isinstance(given, bool):
            found[exclusive] = _bound(given, f"{path}.{exclusive}")
    for low in ("minimum", "exclusiveMinimum"):
        for high in ("maximum", "exclusiveMaximum"):
            check_order(found, low, high, path)
    if "multipleOf" in schema:
        found["multipleOf"] = _step(schema["multipleOf"], f"{path}.multipleOf")
    return found


def narrowed(found: Schema) -> Schema:
    """Return bounds with the missing ones added, so that integers have an end."""
    low = max(found.get("minimum", -MAX_WHOLE), found.get("exclusiveMinimum", -MAX_WHOLE))
    high = min(found.get("maximum", MAX_WHOLE), found.get("exclusiveMaximum", MAX_WHOLE))
    added: Schema = {}
    if not found.keys() & {"minimum", "exclusiveMinimum"} and high >= -MAX_WHOLE:
        added["minimum"] = -MAX_WHOLE
    if not found.keys() & {"maximum", "exclusiveMaximum"} and low <= MAX_WHOLE:
        added["maximum"] = MAX_WHOLE
    return found | added


def check_writable(value: Json, path: str) -> None:
    """Check that a listed value can be written exactly as it is.

    Raises:
        ConstraintError: it cannot.
    """
    if isinstance(value, list | dict):
        for each in value.values() if isinstance(value, dict) else value:
            check_writable(each, path)
    elif isinstance(value, str) and not _CONTROLS.isdisjoint(whole(value, path)):
        raise ConstraintError(f"{path}: a text has a control character")
    elif type(value) in (int, float) and abs(number_of(value, path)) >= _MAX_BOUND:
        raise ConstraintError(f"{path}: {value:g} has too many digits")


def _bound(value: Json, path: str) -> int | float:
    bound = number_of(value, path)
    if not isfinite(bound) or abs(bound) >= _MAX_BOUND:
        raise ConstraintError(f"{path}: bounds must be nearer to 0 than {_MAX_BOUND:g}")
    return bound


def _step(value: Json, path: str) -> int | float:
    step = number_of(value, path)
    if step <= 0:
        raise ConstraintError(f"{path}: must be more than 0")
    digits = f"{step:.17g}"
    if "e+" in digits or step >= 2**31 or len(repr(step).replace(".", "").strip("0")) > 9:
        raise ConstraintError(f"{path}: {step:g} has too many digits")
    return step
