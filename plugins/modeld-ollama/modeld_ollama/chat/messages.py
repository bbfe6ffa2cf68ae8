# SPDX-License-Identifier: GPL-3.0-only
"""The messages of a chat, and what the service knows them as."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from modeld.dialects.body import Strict, wrong
from modeld.dialects.chat_fields import MAX_CALLS, MAX_MESSAGES, MAX_PARTS, Base64, ToolName
from modeld.messages import ImagePart, Message, Part, TextPart, ToolCall

_OF_ROLES: Final = {
    "tool_calls": "assistant",
    "thinking": "assistant",
    "tool_name": "tool",
    "tool_call_id": "tool",
}

Images = Annotated[list[Base64], Field(max_length=MAX_PARTS - 1, fail_fast=True)]


def _lowered(role: Any) -> Any:
    return role.lower() if isinstance(role, str) else role


def _without_parts(content: Any) -> Any:
    if isinstance(content, list):
        raise PydanticCustomError("parts", "is one text here; send images as `images`")
    return content


class OllamaCalledFunction(Strict):
    """What a model has called."""

    index: int | None = Field(
        None, ge=0, le=2**31, description="taken and without effect: the order says it"
    )
    name: ToolName
    arguments: dict[str, Any] | None = None


class OllamaMadeCall(Strict):
    """A call of a tool that the model has made before."""

    elsewhere = dict.fromkeys(
        ("name", "arguments", "input"),
        'the form here is {"function": {"name": "…", "arguments": {…}}}',
    )

    id: str | None = Field(None, max_length=256, description="what the result names it by")
    type: Literal["function"] | None = None
    function: OllamaCalledFunction


class OllamaChatTurn(Strict):
    """One turn of a chat."""

    elsewhere = {
        "name": "of a tool it is called `tool_name` here",
        "reasoning": "it is called `thinking` here",
        "reasoning_content": "it is called `thinking` here",
    }

    role: Annotated[Literal["system", "user", "assistant", "tool"], BeforeValidator(_lowered)] = (
        Field(description="who speaks")
    )
    content: Annotated[str | None, BeforeValidator(_without_parts)] = Field(
        None, description="what was said; nothing where it is left out"
    )
    images: Images | None = Field(None, description="files with images, as base64")
    thinking: str | None = Field(None, description="what the model thought before it said this")
    tool_calls: (
        Annotated[list[OllamaMadeCall], Field(max_length=MAX_CALLS, fail_fast=True)] | None
    ) = Field(None, description="calls that the model made in its turn")
    tool_name: str | None = Field(None, max_length=128, description="the tool whose result this is")
    tool_call_id: str | None = Field(
        None, max_length=256, description="the call whose result this is"
    )


ChatTurns = Annotated[list[OllamaChatTurn], Field(max_length=MAX_MESSAGES, fail_fast=True)]


def messages_of(turns: Sequence[OllamaChatTurn]) -> tuple[Message, ...]:
    """Return a chat as the service knows it.

    Raises:
        InvalidRequestError: a turn has what its role cannot have.
    """
    calls = _OpenCalls()
    return tuple(_message(f"messages[{index}]", turn, calls) for index, turn in enumerate(turns))


def content_of(text: str, images: Sequence[str]) -> str | tuple[Part, ...]:
    """Return a content with its images first, as models were trained to see them."""
    if not images:
        return text
    parts = tuple(ImagePart(data=base64.b64decode(each)) for each in images)
    return (*parts, TextPart(text=text)) if text else parts


class _OpenCalls:
    """The calls whose results have not come yet: templates want an id in both, clients send none.

    An id is made of nine letters and digits, since some families of models take no other.
    """

    def __init__(self) -> None:
        self._open: list[ToolCall] = []
        self._made = 0

    def add(self, made: Sequence[OllamaMadeCall]) -> tuple[ToolCall, ...]:
        """Return calls as the service knows them, each with an id."""
        calls = tuple(map(self._call, made))
        self._open += calls
        return calls

    def of_result(self, name: str, call_id: str) -> tuple[str, str]:
        """Return the tool and the id of the call that a result belongs to, as far as it is known.

        Where it has no id it is the first one of its tool, or the first one of all.
        """
        for position, call in enumerate(self._open):
            if (call.id == call_id) if call_id else (not name or call.name == name):
                del self._open[position]
                return name or call.name, call.id
        return name, call_id

    def _call(self, made: OllamaMadeCall) -> ToolCall:
        self._made += 1
        return ToolCall(
            id=made.id or f"call{self._made:05}",
            name=made.function.name,
            arguments=msgspec.json.encode(made.function.arguments or {}).decode(),
        )


def _message(where: str, turn: OllamaChatTurn, calls: _OpenCalls) -> Message:
    for name, role in _OF_ROLES.items():
        if getattr(turn, name) and turn.role != role:
            raise wrong(f"{where}.{name}", f"is for messages of the role {role} only")
    name, call_id = turn.tool_name or "", turn.tool_call_id or ""
    if turn.role == "tool":
        name, call_id = calls.of_result(name, call_id)
    return Message(
        role=turn.role,
        content=content_of(turn.content or "", turn.images or ()),
        name=name,
        reasoning=turn.thinking or "",
        tool_calls=calls.add(turn.tool_calls or ()),
        tool_call_id=call_id,
    )
