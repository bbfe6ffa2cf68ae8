# SPDX-License-Identifier: GPL-3.0-only
"""What a grammar or a JSON schema may be before it is sent to a worker, which looks into it.

What is wrong is told in words that go on after its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

MAX_GRAMMAR_BYTES = 16_384
MAX_SCHEMA_BYTES = 65_536

MAX_SCHEMA_NESTING = 64
"""As deep as a request's body may be. How deep Python itself reads differs by its version."""


def fault_of_grammar(grammar: str) -> str | None:
    """What is wrong with a grammar; ``None`` if nothing is."""
    if not grammar.strip():
        return "is empty"
    if len(grammar.encode()) > MAX_GRAMMAR_BYTES:
        return f"is longer than {MAX_GRAMMAR_BYTES} bytes"
    return None


def fault_of_schema(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a schema; ``None`` if nothing is."""
    if _is_deeper(schema, MAX_SCHEMA_NESTING):
        return f"is nested more than {MAX_SCHEMA_NESTING} levels deep"
    if len(msgspec.json.encode(schema)) > MAX_SCHEMA_BYTES:
        return f"is longer than {MAX_SCHEMA_BYTES} bytes as JSON"
    try:
        msgspec.msgpack.encode(schema)
    except OverflowError:
        return "has a whole number of more than 64 bits"
    return None


def _is_deeper(value: object, levels: int) -> bool:
    """Whether arrays and objects are nested more than so many levels deep."""
    level = [value]
    for _ in range(levels):
        children: list[object] = []
        for one in level:
            if isinstance(one, Mapping):
                children += one.values()
            elif isinstance(one, list):
                children += one
        level = [child for child in children if isinstance(child, Mapping | list)]
        if not level:
            return False
    return True
