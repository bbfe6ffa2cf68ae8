# SPDX-License-Identifier: GPL-3.0-only
"""What the responses of ``POST /v1/messages`` are, for the documents."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from modeld_anthropic.errors import AnthropicErrorDetail
from modeld_anthropic.usage import AnthropicUsage

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]


class AnthropicText(BaseModel):
    """What the model says."""

    type: Literal["text"]
    text: str


class AnthropicThinking(BaseModel):
    """What the model thought before."""

    type: Literal["thinking"]
    thinking: str = Field(description="empty where `display` is `omitted`")
    signature: str = Field(description="send it back as it is; it proves nothing")


class AnthropicToolUse(BaseModel):
    """A call of a tool."""

    type: Literal["tool_use"]
    id: str = Field(description="what the result names it by")
    name: str = Field(description="the tool")
    input: dict[str, Any] = Field(description="an object as the tool's schema has it")


AnthropicBlock = AnthropicThinking | AnthropicText | AnthropicToolUse


class AnthropicMessage(BaseModel):
    """A message; in the event `message_start` it has no content and no end yet."""

    id: str = Field(description="`msg_` and the request's id")
    type: Literal["message"]
    role: Literal["assistant"]
    model: str = Field(description="the model that has served the request")
    content: list[AnthropicBlock]
    stop_reason: StopReason | None = Field(
        description="end_turn: the model ended it; max_tokens: that or the context did;"
        " stop_sequence: one of them did; tool_use: it ended with calls;"
        " refusal: a filter of the server behind the model did"
    )
    stop_sequence: str | None = Field(description="the one of `stop_sequences` that ended it")
    usage: AnthropicUsage


class AnthropicPart(BaseModel):
    """A part of a block."""

    type: Literal["text_delta", "thinking_delta", "signature_delta", "input_json_delta"]
    text: str | None = Field(None, description="in a text_delta")
    thinking: str | None = Field(None, description="in a thinking_delta")
    signature: str | None = Field(None, description="in a signature_delta, the last of thinking")
    partial_json: str | None = Field(None, description="in an input_json_delta")


class AnthropicEnd(BaseModel):
    """Why a message has ended."""

    stop_reason: StopReason = Field(description="as in a message that comes in one piece")
    stop_sequence: str | None = Field(description="the one of `stop_sequences` that ended it")


class AnthropicEvent(BaseModel):
    """The data of one event."""

    type: Literal[
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error",
    ]
    message: AnthropicMessage | None = Field(None, description="in message_start")
    index: int | None = Field(None, description="of the block, from 0")
    content_block: AnthropicBlock | None = Field(None, description="in content_block_start")
    delta: AnthropicPart | AnthropicEnd | None = Field(
        None, description="in content_block_delta and message_delta"
    )
    usage: AnthropicUsage | None = Field(None, description="in message_delta: of the whole message")
    error: AnthropicErrorDetail | None = Field(None, description="in error")
    request_id: str | None = Field(None, description="in error")
