# SPDX-License-Identifier: GPL-3.0-only
"""Chats and tools as OpenAI's API has them."""

from __future__ import annotations

import base64
from typing import Any, Final, assert_never

from modeld.errors import NotSupportedError
from modeld.messages import AudioPart, ImagePart, Message, Part, TextPart, Tool, ToolChoice

_AUDIO_FORMATS: Final = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3"}
USUAL_IMAGE: Final = "image/png"
"""The media type of an image where nobody has said it; servers look into the bytes."""


def message(turn: Message) -> dict[str, Any]:
    """Return one turn of a chat."""
    found: dict[str, Any] = {"role": turn.role, "content": _content(turn)}
    if turn.name and not turn.tool_call_id:  # beside a call's id the tool's name says nothing new
        found["name"] = turn.name
    if turn.reasoning:
        found["reasoning_content"] = turn.reasoning
    if turn.tool_calls:
        found["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in turn.tool_calls
        ]
    if turn.tool_call_id:
        found["tool_call_id"] = turn.tool_call_id
    return found


def tool(each: Tool) -> dict[str, Any]:
    """Return a function that the model may call."""
    function: dict[str, Any] = {"name": each.name}
    if each.description:
        function["description"] = each.description
    if each.parameters is not None:
        function["parameters"] = each.parameters
    if each.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def tool_choice(choice: ToolChoice, *, has_allowed_tools: bool) -> Any:
    """Return which tools may be called.

    Raises:
        NotSupportedError: only some of them may, which the server has no words for.
    """
    if not choice.names:
        return choice.mode
    named = [{"type": "function", "function": {"name": name}} for name in choice.names]
    if choice.mode == "required" and len(named) == 1:
        return named[0]
    if choice.mode == "none":
        return "none"
    if not has_allowed_tools:
        raise NotSupportedError(
            "tool_choice: the model's server cannot be told of several tools of which some may be"
            " called; send only these as tools",
            field="tool_choice",
        )
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": named}}


def _content(turn: Message) -> Any:
    if isinstance(turn.content, str):
        return None if turn.tool_calls and not turn.content else turn.content
    return [_part(part) for part in turn.content]


def _part(part: Part) -> dict[str, Any]:
    match part:
        case TextPart(text=text):
            return {"type": "text", "text": text}
        case ImagePart(data=data, media_type=media_type):
            url = f"data:{media_type or USUAL_IMAGE};base64,{_base64(data)}"
            return {"type": "image_url", "image_url": {"url": url}}
        case AudioPart(data=data, media_type=media_type):
            form = _AUDIO_FORMATS.get(media_type, "wav" if data[:4] == b"RIFF" else "mp3")
            return {"type": "input_audio", "input_audio": {"data": _base64(data), "format": form}}
        case _:
            assert_never(part)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
