# SPDX-License-Identifier: GPL-3.0-only
"""What the responses of ``/v1/responses`` are, for the documents."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from modeld_openai.chat.responses import ChatTokenLogprobs


class ResponseTextPart(BaseModel):
    """A part of an item: what was said, or what was thought."""

    type: Literal["output_text", "reasoning_text"]
    text: str
    annotations: list[Any] | None = Field(None, description="of what was said; always empty")
    logprobs: list[ChatTokenLogprobs] | None = Field(
        None, description="of what was said; empty unless wanted"
    )


class ResponseOutputItem(BaseModel):
    """What the model has thought, said or called."""

    id: str
    type: Literal["reasoning", "message", "function_call"]
    status: Literal["in_progress", "completed", "incomplete"] = Field(
        description="incomplete: max_output_tokens, the context or a filter has cut it off"
    )
    role: Literal["assistant"] | None = Field(None, description="of a message")
    content: list[ResponseTextPart] | None = Field(
        None, description="of a message or of reasoning: one part"
    )
    summary: list[Any] | None = Field(None, description="of reasoning; always empty")
    call_id: str | None = Field(None, description="of a call: what its result names it by")
    name: str | None = Field(None, description="of a call: the tool")
    arguments: str | None = Field(None, description="of a call: an object, as JSON text")


class ResponseInputDetails(BaseModel):
    """What the input's tokens were."""

    cached_tokens: int = Field(description="tokens of the input that were not computed again")
    cache_write_tokens: int = Field(description="always 0: what the cache takes is not counted")


class ResponseOutputDetails(BaseModel):
    """What the output's tokens were."""

    reasoning_tokens: int = Field(description="tokens that were spent on thinking")


class ResponseUsage(BaseModel):
    """What a response cost, in tokens."""

    input_tokens: int
    input_tokens_details: ResponseInputDetails
    output_tokens: int
    output_tokens_details: ResponseOutputDetails
    total_tokens: int = Field(description="input and output together")
    fit: str | None = Field(
        None,
        description="modeld's own: by which step the model was made to fit; absent where it is as"
        " configured",
    )


class ResponseFailure(BaseModel):
    """Why a response has failed half-way."""

    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


class ResponseIncomplete(BaseModel):
    """Why a response is not complete."""

    reason: Literal["max_output_tokens", "content_filter"] = Field(
        description="also where the context has no room for more"
    )


class OpenAIResponse(BaseModel):
    """A response. What was asked for is repeated in it."""

    id: str = Field(description="what the next request goes on from it by")
    object: Literal["response"]
    created_at: int = Field(description="when the request came, in seconds since 1970")
    completed_at: int | None = Field(description="when it was complete; null before")
    model: str = Field(description="the model that has served the request")
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    output: list[ResponseOutputItem] = Field(description="what was thought, said and called")
    usage: ResponseUsage | None = Field(description="null until the response has ended")
    error: ResponseFailure | None = Field(description="null unless it has failed")
    incomplete_details: ResponseIncomplete | None = Field(description="null unless incomplete")
    previous_response_id: str | None = Field(description="the response that it goes on from")
    store: bool = Field(description="whether it was to be stored")
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    prompt_cache_key: str | None
    reasoning: dict[str, Any]
    safety_identifier: str | None
    temperature: float | None
    text: dict[str, Any]
    tool_choice: Any
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float | None
    user: str | None
    background: Literal[False]
    service_tier: Literal["default"]
    truncation: Literal["disabled"]


class ResponseEvent(BaseModel):
    """The data of one event of a stream; its type says which members it has."""

    type: Literal[
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.reasoning_text.delta",
        "response.reasoning_text.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "error",
    ]
    sequence_number: int = Field(description="which event of the stream it is, from 0")
    response: OpenAIResponse | None = Field(None, description="the response by then")
    output_index: int | None = Field(None, description="which item it is about, from 0")
    item_id: str | None = Field(None, description="the id of that item")
    item: ResponseOutputItem | None = Field(None, description="the item by then")
    content_index: int | None = Field(None, description="always 0: an item has one part")
    part: ResponseTextPart | None = Field(None, description="the part by then")
    delta: str | None = Field(None, description="a piece of the text or of the arguments")
    text: str | None = Field(None, description="the whole text")
    logprobs: list[ChatTokenLogprobs] | None = Field(
        None, description="of the text; empty unless wanted"
    )
    name: str | None = Field(None, description="the tool that is called")
    arguments: str | None = Field(None, description="all arguments, as JSON text")
    code: str | None = Field(None, description="of an error: a stable word for it")
    message: str | None = Field(None, description="of an error: what went wrong")
    param: str | None = Field(None, description="of an error: the field that is to blame")


class ResponseInputItem(BaseModel):
    """An item that a response has gone on from; its members go by its type."""

    id: str
    type: Literal["message", "function_call", "function_call_output", "reasoning"]
    status: Literal["completed", "incomplete"]
    role: str | None = Field(None, description="of a message")
    content: list[dict[str, Any]] | None = Field(None, description="of a message or of reasoning")
    summary: list[Any] | None = Field(None, description="of reasoning; always empty")
    call_id: str | None = Field(None, description="of a call or a result")
    name: str | None = Field(None, description="the tool of a call or a result")
    arguments: str | None = Field(None, description="of a call: an object, as JSON text")
    output: str | list[dict[str, Any]] | None = Field(None, description="of a result")


class ResponseItemList(BaseModel):
    """A page of input items."""

    object: Literal["list"]
    data: list[ResponseInputItem]
    first_id: str = Field(description="the id of the first; empty where there is none")
    last_id: str = Field(description="the id of the last; the next page is `after` it")
    has_more: bool = Field(description="whether there are more after these")


class DeletedResponse(BaseModel):
    """That a response is dropped."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]
