# SPDX-License-Identifier: GPL-3.0-only
"""Chats: their messages, the parts of messages, and the tools that a model may call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from modeld.values import Value

Role = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
ToolName = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
MediaType = Annotated[str, msgspec.Meta(max_length=128)]


class TextPart(Value, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="text"):
    """A text among other parts of a message."""

    text: str


class ImagePart(Value, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="image"):
    """An image, as the bytes of a file; ``media_type`` is empty where nobody has said it."""

    data: bytes
    media_type: MediaType = ""


class AudioPart(Value, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="audio"):
    """A sound, as the bytes of a file; ``media_type`` is empty where nobody has said it."""

    data: bytes
    media_type: MediaType = ""


Part: TypeAlias = TextPart | ImagePart | AudioPart
Parts = Annotated[tuple[Part, ...], msgspec.Meta(max_length=1024)]


class ToolCall(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of a tool that a model has made. ``arguments`` are an object, as JSON text."""

    id: Annotated[str, msgspec.Meta(max_length=256)] = ""
    name: ToolName
    arguments: str = "{}"


class Message(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One turn of a chat, as a model's chat template expects it.

    ``reasoning`` and ``tool_calls`` are those of a model's own turn. In the turn that has a tool's
    result, ``tool_call_id`` names the call and ``name`` the tool.
    """

    role: Role
    content: str | Parts = ""
    name: Annotated[str, msgspec.Meta(max_length=128)] = ""
    reasoning: str = ""
    tool_calls: Annotated[tuple[ToolCall, ...], msgspec.Meta(max_length=128)] = ()
    tool_call_id: Annotated[str, msgspec.Meta(max_length=256)] = ""

    @property
    def text(self) -> str:
        """Return all texts of the content together, one to a line."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


Messages = Annotated[tuple[Message, ...], msgspec.Meta(max_length=1024)]
Chat = Annotated[tuple[Message, ...], msgspec.Meta(min_length=1, max_length=1024)]


class Tool(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A function that a model may call. ``parameters`` are a JSON schema; ``None`` means none.

    The arguments of a ``strict`` tool conform to its schema in any case.
    """

    name: ToolName
    description: str = ""
    parameters: Mapping[str, Any] | None = None
    strict: bool = False


class ToolChoice(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether tools are called: as the model likes, not at all, or in any case.

    With ``names`` only these may be called, though the model is told of all.
    """

    mode: Literal["auto", "none", "required"] = "auto"
    names: Annotated[tuple[ToolName, ...], msgspec.Meta(max_length=128)] = ()


Tools = Annotated[tuple[Tool, ...], msgspec.Meta(max_length=128)]


class Reasoning(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a model thinks before it answers. ``None`` leaves it to the model's template.

    ``effort`` is a word that some templates know; at most ``budget_tokens`` are spent on it.
    """

    enabled: bool | None = None
    effort: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] | None = None
    budget_tokens: Annotated[int, msgspec.Meta(ge=0, le=2**31)] | None = None
