# SPDX-License-Identifier: GPL-3.0-only
"""What is the same in a whole message and in the events of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modeld.dialects import Call
from modeld.responses import Done, FinishReason, Usage
from modeld_anthropic.usage import usage_document

_REASONS: Final[Mapping[FinishReason, str]] = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
}


def message_of(
    call: Call, content: list[object], end: Mapping[str, object], usage: Usage
) -> object:
    """Return a message; its id is that of the request with a prefix."""
    return {
        "id": f"msg_{call.request_id}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": content,
        **end,
        "usage": usage_document(usage),
    }


def end_of(done: Done | None) -> dict[str, str | None]:
    """Return why a message has ended, if it has."""
    if done is None:
        return {"stop_reason": None, "stop_sequence": None}
    if done.finish_reason is FinishReason.STOP and done.stop_text is not None:
        return {"stop_reason": "stop_sequence", "stop_sequence": done.stop_text}
    return {"stop_reason": _REASONS[done.finish_reason], "stop_sequence": None}


def tool_use_of(call: Call, number: int, id_: str, name: str, input_: object) -> dict[str, object]:
    """Return a call of a tool. One to which the engine has given no id gets one."""
    return {
        "type": "tool_use",
        "id": id_ or f"toolu_{call.request_id}_{number}",
        "name": name,
        "input": input_,
    }
