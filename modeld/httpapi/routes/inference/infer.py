# SPDX-License-Identifier: GPL-3.0-only
"""``POST /infer``: text from a model, streamed or whole."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, RootModel

from modeld.dialects import Call, Encoder, GenerationRoute
from modeld.dialects.documents import NO_STORE, WORK_ERRORS, Content, Header, ResponseDoc
from modeld.dialects.sampling_fields import with_parameters
from modeld.errors import NotAcceptableError, PromptRequiredError, TemplateError
from modeld.httpapi.exchange.problems import ErrorBody
from modeld.httpapi.exchange.reading.accept import STREAMING_DEFAULT, WHOLE_DEFAULT, Formatters
from modeld.httpapi.exchange.writing.formatted import encoder_of
from modeld.httpapi.routes.inference.infer_body import InferBody
from modeld.requests import GenerateRequest
from modeld.responses import FinishReason
from modeld.sampling import SamplingParameter

_DESCRIPTION = """\
Streams one JSON object per line: `{"token": …}` for each piece of text and, last, an object with
`"done": true` and the whole text. A response that fails half-way ends with an error object
instead. The `Accept` header chooses another format; `"stream": false` means one JSON object.
A client that closes its connection ends the work at once.
"""

EVENTS = "text/event-stream"
_ERRORS = (PromptRequiredError, TemplateError, NotAcceptableError, *WORK_ERRORS)

_USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "cached_tokens": 0, "total_tokens": 9}
_DONE = {"done": True, "content": " Paris.\n\n", "finish_reason": "length", "usage": _USAGE}
_LINES = (*({"token": token} for token in (" Paris", ".", "\n", "\n")), _DONE)
_BODIES = {
    "prompt": {"prompt": "The capital of France is", "max_tokens": 4, "temperature": 0},
    "chat": {
        "messages": [
            {"role": "system", "content": "Answer in one word."},
            {"role": "user", "content": "What is the capital of France?"},
        ],
        "max_tokens": 16,
        "temperature": 0,
        "stream": False,
    },
    "data": {
        "prompt": "Bob is seven years old. As JSON: ",
        "json_schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
            "required": ["name", "age"],
        },
        "max_tokens": 40,
        "temperature": 0,
        "stream": False,
    },
    "probabilities": {"prompt": "The capital of France is", "max_tokens": 1, "logprobs": 2},
}
_NOT_BUFFERED = Header(
    name="X-Accel-Buffering", value="no", description="a proxy must pass each token on at once"
)


class LikelyTokenItem(BaseModel):
    """A token and how probable it was before any sampler changed that."""

    id: int
    token: str = Field(description="its text, with U+FFFD for what is no whole character")
    bytes: list[int] = Field(description="the bytes that it stands for")
    logprob: float = Field(description="natural logarithm of its probability; -9999 at the least")


class TokenLogprobsItem(LikelyTokenItem):
    """A token that was chosen."""

    top_logprobs: list[LikelyTokenItem] = Field(description="the likeliest tokens at its position")


class TokenLine(BaseModel):
    """A piece of the text."""

    token: str = Field(description="whole characters; never empty")
    logprobs: list[TokenLogprobsItem] | None = Field(
        None, description="of the tokens that end with this piece; absent unless wanted"
    )


class ReasoningLine(BaseModel):
    """A piece of what the model thinks before it answers."""

    reasoning: str = Field(description="whole characters; never empty")
    logprobs: list[TokenLogprobsItem] | None = Field(
        None, description="of the tokens that end with this piece; absent unless wanted"
    )


class ToolCallPart(BaseModel):
    """A part of a call of a tool."""

    index: int = Field(description="which of the calls it belongs to, from 0")
    id: str | None = Field(None, description="what the result names the call by; first part only")
    name: str | None = Field(None, description="the tool; first part only")
    arguments: str = Field(description="all parts together are an object, as JSON text")


class ToolCallLine(BaseModel):
    """A part of a call of a tool."""

    tool_call: ToolCallPart
    logprobs: list[TokenLogprobsItem] | None = Field(
        None, description="of the tokens that end with this part; absent unless wanted"
    )


class ToolCallItem(BaseModel):
    """A whole call of a tool."""

    id: str = Field(description="what the result names the call by")
    name: str = Field(description="the tool")
    arguments: str = Field(
        description="an object, as JSON text; the beginning of one where the call was cut off"
    )


class UsageNumbers(BaseModel):
    """What the request cost, in tokens."""

    prompt_tokens: int
    completion_tokens: int = Field(description="tokens that were chosen for the text")
    total_tokens: int = Field(description="prompt and completion together")
    cached_tokens: int = Field(description="tokens of the prompt that were not computed again")
    fit: str | None = Field(
        None,
        description="by which step the model was made to fit; absent where it is as configured",
    )
    reasoning_tokens: int | None = Field(
        None, description="tokens of the completion that the model thought with; absent for none"
    )


class DoneLine(BaseModel):
    """The end of a generation that went well."""

    done: Literal[True]
    content: str | None = Field(
        None,
        description="the whole text; absent for a stream of more than 1,048,576 characters",
    )
    finish_reason: FinishReason = Field(
        description="stop: the model or a stop text ended it; length: max_tokens or the context"
        " did; tool_calls: it has called tools"
    )
    usage: UsageNumbers
    logprobs: list[TokenLogprobsItem] | None = Field(
        None, description="of all tokens that no line before had; absent unless wanted"
    )
    reasoning: str | None = Field(
        None, description="what the model thought before it answered; absent if nothing"
    )
    tool_calls: list[ToolCallItem] | None = Field(
        None, description="the tools that it has called; absent if none"
    )
    stop_text: str | None = Field(
        None, description="the stop text that has ended it; absent if none has"
    )


def _one_of(schema: dict[str, Any]) -> None:
    schema["oneOf"] = schema.pop("anyOf")


class StreamLine(RootModel[TokenLine | ReasoningLine | ToolCallLine | DoneLine | ErrorBody]):
    """One object of a streamed response: a piece of it, its end, or what went wrong half-way."""

    model_config = ConfigDict(json_schema_extra=_one_of)


def _content(media_type: str) -> Content:
    lines = [msgspec.json.encode(line).decode() for line in _LINES]
    if media_type == WHOLE_DEFAULT:
        return Content(media_type=media_type, model=DoneLine, example=_DONE)
    if media_type == STREAMING_DEFAULT:
        example = "".join(f"{line}\n" for line in lines)
        return Content(media_type=media_type, model=StreamLine, example=example)
    if media_type == EVENTS:
        example = "".join(f"data: {line}\n\n" for line in lines)
        return Content(media_type=media_type, model=StreamLine, example=example)
    return Content(media_type=media_type)


def infer_route(
    formatters: Formatters, parameters: tuple[SamplingParameter, ...] = ()
) -> GenerationRoute[InferBody]:
    """Return the route; ``parameters`` are those that the backends declare for choosing tokens."""

    def requests(body: InferBody, call: Call) -> tuple[GenerateRequest]:
        return (body.to_generate_request(call.request_id),)

    def encoder(body: InferBody, call: Call) -> Encoder:
        accept = call.headers.get("accept", "")
        return encoder_of(formatters.choose(accept, stream=body.stream is not False))

    return GenerationRoute(
        path="/infer",
        name="infer",
        tag="text",
        summary="Generate text",
        description=_DESCRIPTION,
        body=with_parameters(InferBody, parameters),
        body_examples=_BODIES,
        requests=requests,
        encoder=encoder,
        responses=(
            ResponseDoc(
                status=200,
                description="The response; a late error is its last line",
                contents=tuple(map(_content, formatters.media_types)),
                headers=(NO_STORE, _NOT_BUFFERED),
            ),
        ),
        raises=_ERRORS,
    )
