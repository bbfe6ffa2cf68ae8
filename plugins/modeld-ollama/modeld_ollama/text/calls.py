# SPDX-License-Identifier: GPL-3.0-only
"""Calls of tools as Ollama writes them: each one whole, its arguments an object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from modeld.dialects import Call
from modeld.messages import ToolCall
from modeld.responses import ToolCallDelta


class CallGatherer:
    """Puts the parts of calls together; a call is whole once something else comes after it."""

    def __init__(self) -> None:
        self._parts: list[ToolCallDelta] = []

    def add(self, delta: ToolCallDelta) -> tuple[ToolCall, ...]:
        """Take a part, and return the call before it if this is the first part of another one."""
        is_other = bool(self._parts) and self._parts[0].index != delta.index
        whole = self.end() if is_other else ()
        self._parts.append(delta)
        return whole

    def end(self) -> tuple[ToolCall, ...]:
        """Return the call that is under way, if there is one."""
        parts, self._parts = self._parts, []
        if not parts:
            return ()
        call = ToolCall(
            id=next((each.id for each in parts if each.id), ""),
            name=next((each.name for each in parts if each.name), ""),
            arguments="".join(each.arguments for each in parts),
        )
        return (call,)


def written_calls(
    calls: Sequence[ToolCall], call: Call, begin: int = 0, *, cut: bool = False
) -> list[dict[str, Any]]:
    """Return calls as this wire has them, counted from ``begin``.

    One whose arguments are no object was cut off where the generation ended; it is left out, as
    this wire cannot say that. So is the last one without any where the generation was ``cut``.
    """
    made = []
    for index, each in enumerate(calls, start=begin):
        is_cut = cut and each is calls[-1]
        arguments = _object(each.arguments or ("" if is_cut else "{}"))
        if arguments is not None:
            function = {"index": index, "name": each.name, "arguments": arguments}
            made.append({"id": each.id or f"call_{call.request_id}_{index}", "function": function})
    return made


def _object(text: str) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
