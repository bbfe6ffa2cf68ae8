# SPDX-License-Identifier: GPL-3.0-only
"""A chat and its tools, as the native wire has them.

The tags of alternatives begin with ``~``, so that errors name a field without them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from modeld.constraints import fault_of_schema
from modeld.dialects.body import MISSING_FIELD, Strict, only_kinds, usable
from modeld.messages import (
    AudioPart,
    ImagePart,
    Message,
    Part,
    Reasoning,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)

MAX_MESSAGES = 1024
MAX_PARTS = 1024
MAX_TOOLS = 128
MAX_CALLS = 128


def _fault_of_base64(data: str) -> str | None:
    try:
        base64.b64decode(data, validate=True)
    except ValueError:  # of characters that are not ASCII too
        return "is no base64"
    return None


_BASE64: dict[str, Any] = {
    "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
}
Base64 = Annotated[str, Field(min_length=1, json_schema_extra=_BASE64), usable(_fault_of_base64)]
ToolName = Annotated[str, Field(min_length=1, max_length=128)]


class TextPartBody(Strict):
    """A text among other parts."""

    type: Literal["text"]
    text: str


class FilePartBody(Strict):
    """An image or a sound."""

    type: Literal["image", "audio"]
    data: Base64 = Field(description="the bytes of the file, as base64")
    media_type: str | None = Field(None, max_length=128, description="what kind of file it is")


def _kind_of_part(given: Any) -> str:
    kind = given.get("type") if isinstance(given, dict) else getattr(given, "type", None)
    return "~file" if isinstance(kind, str) and kind in {"image", "audio"} else "~text"


_PARTS: Final = ("text", "image", "audio")

PartBody = Annotated[
    Annotated[TextPartBody, Tag("~text")] | Annotated[FilePartBody, Tag("~file")],
    Discriminator(_kind_of_part),
    only_kinds(_PARTS, f"is not served; there is {', '.join(_PARTS)}"),
]


class ToolCallBody(Strict):
    """A call of a tool that the model has made before."""

    elsewhere = dict.fromkeys(
        ("type", "function", "input"),
        'the form here is {"id": "…", "name": "…", "arguments": "…"}',
    )

    id: str | None = Field(None, max_length=256, description="what the result names it by")
    name: ToolName
    arguments: str = Field(description="an object, as JSON text")


ToolCallsField = Annotated[list[ToolCallBody], Field(max_length=MAX_CALLS, fail_fast=True)]


def _content_kind(given: Any) -> str:
    return "~parts" if isinstance(given, list) else "~text"


Content = Annotated[
    Annotated[str, Tag("~text")]
    | Annotated[
        Annotated[list[PartBody], Field(max_length=MAX_PARTS, fail_fast=True)], Tag("~parts")
    ],
    Discriminator(_content_kind),
]


_HAS_CONTENT: dict[str, Any] = {
    "properties": {"content": {"type": ["string", "array"]}},
    "required": ["content"],
}
_HAS_CALLS: dict[str, Any] = {
    "properties": {"tool_calls": {"type": "array", "minItems": 1}},
    "required": ["tool_calls"],
}


class ChatMessage(Strict):
    """One turn of a chat. Only one in which the model calls tools may have no content."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [_HAS_CONTENT, _HAS_CALLS]})
    elsewhere = {
        "images": 'send each as a part of `content`: {"type": "image", "data": "…"}',
        "reasoning_content": "it is called `reasoning` here",
        "thinking": "it is called `reasoning` here",
        "tool_name": "it is called `name` here",
    }

    role: str = Field(
        min_length=1, max_length=64, description="who speaks: system, user, assistant, tool …"
    )
    content: Content | None = Field(None, description="what was said: a text, or a list of parts")
    name: str | None = Field(None, max_length=128, description="of the speaker, or of the tool")
    reasoning: str | None = Field(None, description="what the model thought before it said this")
    tool_calls: ToolCallsField | None = Field(
        None, description="the calls that the model made in its turn"
    )
    tool_call_id: str | None = Field(
        None, max_length=256, description="the call whose result this is"
    )

    @model_validator(mode="after")
    def _content_or_calls(self) -> Self:
        if self.content is None and not self.tool_calls:
            raise PydanticCustomError(MISSING_FIELD, "must be given", {"name": "content"})
        return self


ChatMessages = Annotated[list[ChatMessage], Field(max_length=MAX_MESSAGES, fail_fast=True)]
"""Every list of a body stops at its first fault: a list may have as many faults as items."""


class ToolBody(Strict):
    """A function that the model may call."""

    elsewhere = dict.fromkeys(
        ("type", "function", "input_schema"),
        'the form here is {"name": "…", "description": "…", "parameters": {…}}',
    )

    name: ToolName
    description: str | None = Field(None, description="what it does, for the model")
    parameters: Annotated[dict[str, Any], usable(fault_of_schema)] | None = Field(
        None, description="JSON schema of its arguments; without it there are none"
    )
    strict: bool | None = Field(
        None, description="true makes the arguments conform to the schema in any case"
    )


ToolsField = Annotated[list[ToolBody], Field(max_length=MAX_TOOLS, fail_fast=True)]
Mode = Literal["auto", "none", "required"]


class ToolChoiceBody(Strict):
    """Which tools may be called."""

    elsewhere = dict.fromkeys(
        ("type", "function", "name"), 'the form here is {"mode": "required", "names": ["…"]}'
    )

    mode: Mode
    names: Annotated[list[ToolName], Field(max_length=MAX_TOOLS, fail_fast=True)] | None = Field(
        None, description="only these, though the model is told of all"
    )


class ReasoningBody(Strict):
    """How much the model thinks before it answers."""

    enabled: bool | None = Field(None, description="whether it does; null leaves it to the model")
    effort: str | None = Field(
        None, min_length=1, max_length=32, description="a word that some models know, like low"
    )
    budget_tokens: int | None = Field(None, ge=0, le=2**31, description="the most it may take")


def _is_object(given: Any) -> str:
    return "~object" if isinstance(given, dict | Strict) else "~plain"


ToolChoiceField = Annotated[
    Annotated[Mode, Tag("~plain")] | Annotated[ToolChoiceBody, Tag("~object")],
    Discriminator(_is_object),
]
ReasoningField = Annotated[
    Annotated[bool, Tag("~plain")] | Annotated[ReasoningBody, Tag("~object")],
    Discriminator(_is_object),
]


class ChatFields(Strict):
    """What goes with a chat wherever a model's chat template makes a prompt of it."""

    tools: ToolsField | None = Field(None, description="functions that the model may call")
    reasoning: ReasoningField | None = Field(
        None, description="whether the model thinks first, or how much"
    )
    template_kwargs: dict[str, Any] | None = Field(
        None, description="variables for the model's chat template"
    )
    continue_last: bool | None = Field(
        None, description="true goes on with the last message, which is the model's own"
    )

    def chat_members(self) -> dict[str, Any]:
        """Return the same as members of a request for the service."""
        return {
            "tools": tuple(map(_tool, self.tools or ())),
            "reasoning": _reasoning(self.reasoning),
            "template_kwargs": self.template_kwargs or {},
            "continue_last": self.continue_last is True,
        }


def as_values(messages: Iterable[ChatMessage]) -> tuple[Message, ...]:
    """Return a chat as the service knows it."""
    return tuple(map(_message, messages))


def tool_choice_of(given: Mode | ToolChoiceBody | None) -> ToolChoice:
    """Return the choice as the service knows it."""
    match given:
        case None:
            return ToolChoice()
        case ToolChoiceBody():
            return ToolChoice(mode=given.mode, names=tuple(given.names or ()))
        case mode:
            return ToolChoice(mode=mode)


def _reasoning(given: bool | ReasoningBody | None) -> Reasoning:  # noqa: FBT001
    match given:
        case ReasoningBody():
            return Reasoning(
                enabled=given.enabled, effort=given.effort, budget_tokens=given.budget_tokens
            )
        case enabled:
            return Reasoning(enabled=enabled)


def _message(body: ChatMessage) -> Message:
    content = body.content
    return Message(
        role=body.role,
        content=tuple(map(_part, content)) if isinstance(content, list) else content or "",
        name=body.name or "",
        reasoning=body.reasoning or "",
        tool_calls=tuple(
            ToolCall(id=call.id or "", name=call.name, arguments=call.arguments)
            for call in body.tool_calls or ()
        ),
        tool_call_id=body.tool_call_id or "",
    )


def _part(body: TextPartBody | FilePartBody) -> Part:
    if isinstance(body, TextPartBody):
        return TextPart(text=body.text)
    kind = ImagePart if body.type == "image" else AudioPart
    return kind(data=base64.b64decode(body.data), media_type=body.media_type or "")


def _tool(body: ToolBody) -> Tool:
    return Tool(
        name=body.name,
        description=body.description or "",
        parameters=body.parameters,
        strict=body.strict is True,
    )
