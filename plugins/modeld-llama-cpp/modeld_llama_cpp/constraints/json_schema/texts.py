# SPDX-License-Identifier: GPL-3.0-only
"""Writes keywords about texts as llguidance understands them.

The standard leaves it to the reader which formats are kept to; the others ask for nothing.
"""

from __future__ import annotations

from modeld_llama_cpp.constraints.grammars.pattern import read_pattern
from modeld_llama_cpp.constraints.json_schema.probe import is_followed
from modeld_llama_cpp.constraints.json_schema.schema_text import (
    Json,
    Schema,
    check_order,
    count_of,
    text_of,
)

BY_LLGUIDANCE = frozenset({"duration", "email", "hostname", "ipv4", "ipv6", "uri"})
"""Formats that llguidance has a regular expression for."""

_DATE = (
    "[12][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_HOUR_AND_MINUTE = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_HOUR_AND_MINUTE}:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+-]{_HOUR_AND_MINUTE})"
_POINTER = "(?:/(?:[^~/]|~[01])*)*"

BY_PATTERN = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "uuid": "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "json-pointer": _POINTER,
    "relative-json-pointer": f"(?:0|[1-9][0-9]*)(?:#|{_POINTER})",
}
"""Formats that have a regular expression here: what all readers take, and no day that is none."""

FORMATS = sorted(BY_LLGUIDANCE | BY_PATTERN.keys())


def written_text(schema: Schema, path: str, *, formats: bool = True) -> Schema:
    """Return what a schema says about texts."""
    found: Schema = {}
    for keyword in ("minLength", "maxLength"):
        if keyword in schema:
            found[keyword] = count_of(schema[keyword], f"{path}.{keyword}")
    check_order(found, "minLength", "maxLength", path)
    if "pattern" in schema:
        pattern_path = f"{path}.pattern"
        found["pattern"] = anchored(
            read_pattern(text_of(schema["pattern"], pattern_path), pattern_path)
        )
    return _with_format(found, schema.get("format")) if formats else found


def _with_format(found: Schema, form: Json) -> Schema:
    """Return what is said about texts with a format, unless no text has it that fits the rest."""
    if form in BY_LLGUIDANCE:
        both = found | {"format": form}
    elif form in BY_PATTERN:
        pattern = {"pattern": anchored(BY_PATTERN[form])}
        both = found | ({"allOf": [pattern]} if "pattern" in found else pattern)
    else:
        return found
    possible = "pattern" not in found or is_followed({"type": "string"} | both)
    return both if possible else found


def anchored(expression: str) -> str:
    """Return a regular expression as a pattern for whole texts."""
    return f"^(?:{expression})$"
