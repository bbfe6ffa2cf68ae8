# SPDX-License-Identifier: GPL-3.0-only
"""What the responses of ``POST /v1/chat/completions`` are, for the documents."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from modeld.responses import FinishReason
from modeld_openai.usage import OpenAIUsage


class ChatLikelyToken(BaseModel):
    """A token and how probable it was before any sampler changed that."""

    token: str = Field(description="its text, with U+FFFD for what is no whole character")
    logprob: float = Field(description="natural logarithm of its probability; -9999 at the least")
    bytes: list[int] = Field(description="the bytes that it stands for")


class ChatTokenLogprobs(ChatLikelyToken):
    """A token that was chosen."""

    top_logprobs: list[ChatLikelyToken] = Field(description="the likeliest tokens at its place")


class ChatLogprobs(BaseModel):
    """How probable the tokens of the content were."""

    content: list[ChatTokenLogprobs]
    refusal: None = Field(description="always null")


class ChatFunction(BaseModel):
    """What is called."""

    name: str | None = Field(None, description="in the first part of a call only")
    arguments: str = Field(description="an object, as JSON text; in a stream a part of it")


class ChatToolCall(BaseModel):
    """A call of a tool."""

    id: str = Field(description="what the message with the result names it by")
    type: Literal["function"]
    function: ChatFunction


class ChatToolCallDelta(BaseModel):
    """A part of a call of a tool."""

    index: int = Field(description="which of the calls it belongs to, from 0")
    id: str | None = Field(None, description="in the first part of a call only")
    type: Literal["function"] | None = Field(None, description="in the first part of a call only")
    function: ChatFunction


class ChatResponseMessage(BaseModel):
    """What the model has said."""

    role: Literal["assistant"]
    content: str | None = Field(description="null where there are only calls")
    refusal: None = Field(description="always null")
    reasoning_content: str | None = Field(None, description="what the model thought before")
    tool_calls: list[ChatToolCall] | None = Field(None, description="absent where there are none")


class ChatDelta(BaseModel):
    """A part of what the model says; it has one of these, and the first chunk the role."""

    role: Literal["assistant"] | None = Field(None, description="in the first chunk of a choice")
    content: str | None = Field(None, description="a piece of the text")
    reasoning_content: str | None = Field(None, description="a piece of the thinking")
    tool_calls: list[ChatToolCallDelta] | None = Field(None, description="a part of one call")


class ChatChoice(BaseModel):
    """One of the generations."""

    index: int = Field(description="from 0")
    message: ChatResponseMessage
    logprobs: ChatLogprobs | None = Field(description="null unless wanted")
    finish_reason: FinishReason = Field(
        description="stop: the model or a stop text ended it; length: max_tokens or the context"
        " did; tool_calls: it ended with calls"
    )


class ChatChunkChoice(BaseModel):
    """A part of one of the generations."""

    index: int = Field(description="from 0")
    delta: ChatDelta
    logprobs: ChatLogprobs | None = Field(description="null unless wanted")
    finish_reason: FinishReason | None = Field(description="null in all but its last chunk")


class ChatCompletion(BaseModel):
    """A response in one piece."""

    id: str = Field(description="`chatcmpl-` and the request's id")
    object: Literal["chat.completion"]
    created: int = Field(description="when the request came, in seconds since 1970")
    model: str = Field(description="the model that has served the request")
    system_fingerprint: str = Field(description="the version of modeld")
    choices: list[ChatChoice]
    usage: OpenAIUsage


class ChatCompletionChunk(BaseModel):
    """One event of a stream."""

    id: str = Field(description="`chatcmpl-` and the request's id, the same in all chunks")
    object: Literal["chat.completion.chunk"]
    created: int = Field(description="when the request came, in seconds since 1970")
    model: str = Field(description="the model that has served the request")
    system_fingerprint: str = Field(description="the version of modeld")
    choices: list[ChatChunkChoice] = Field(description="empty in the chunk with the usage")
    usage: OpenAIUsage | None = Field(None, description="in the last chunk, where it is wanted")
