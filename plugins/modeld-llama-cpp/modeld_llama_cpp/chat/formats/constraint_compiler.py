# SPDX-License-Identifier: GPL-3.0-only
"""The one way of chat formats to the constraint compiler, which is loaded on demand."""

from __future__ import annotations

import json
from typing import Any

from modeld.errors import InvalidRequestError
from modeld.messages import Tool
from modeld_llama_cpp.chat.formats.calls.tool_arguments import Schema


def checked_schema(schema: Schema, tool: Tool) -> dict[str, Any]:
    """Return a schema that means the same or less, for ``%json``.

    Raises:
        InvalidRequestError: it cannot be kept to; the message says where.
    """
    from modeld_llama_cpp.constraints.compiler import compile_constraint  # noqa: PLC0415  (heavy)

    try:
        compiled = compile_constraint("json_schema", schema)
    except InvalidRequestError as exc:
        problem = str(exc).partition(": ")[2] or str(exc)
        raise InvalidRequestError(
            f"the parameters of the tool {tool.name!r} cannot be kept to: {problem}", field="tools"
        ) from exc
    found: dict[str, Any] = json.loads(compiled.text)["grammars"][0]["json_schema"]
    return found
