# SPDX-License-Identifier: GPL-3.0-only
"""``POST /v1/completions``: how texts go on, streamed or whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field

from modeld.dialects import JSON, Call, Encoder, GenerationRoute
from modeld.dialects.documents import NO_STORE, WORK_ERRORS, Content, ResponseDoc
from modeld.errors import PromptRequiredError
from modeld.requests import GenerateRequest
from modeld.responses import FinishReason
from modeld_openai.chat.route import NOT_BUFFERED
from modeld_openai.completions.body import CompletionBody
from modeld_openai.completions.encoder import CompletionObject, CompletionStream
from modeld_openai.events import DONE, EVENTS, event
from modeld_openai.head import FINGERPRINT
from modeld_openai.usage import OpenAIUsage

_DESCRIPTION = """\
Prompts go to the model as they are, without its chat template. With `"stream": true` each event has
an object with a piece of a text, and the last one the word `[DONE]`.
"""

_HEAD = {
    "id": "cmpl-docs-1",
    "object": "text_completion",
    "created": 1764547200,
    "model": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "system_fingerprint": FINGERPRINT,
}
_USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 4,
    "total_tokens": 9,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
_CHOICE = {"index": 0, "text": " Paris.", "logprobs": None, "finish_reason": "length"}
_OBJECT = {**_HEAD, "choices": [_CHOICE], "usage": _USAGE}
_EVENTS = "".join(
    (
        event({**_HEAD, "choices": [{**_CHOICE, "finish_reason": None}]}).decode(),
        event({**_HEAD, "choices": [{**_CHOICE, "text": ""}]}).decode(),
        DONE.decode(),
    )
)


class OpenAICompletionLogprobs(BaseModel):
    """How probable the tokens were before any sampler changed that."""

    tokens: list[str] = Field(description="their texts, with U+FFFD for what is no whole character")
    token_logprobs: list[float] = Field(description="-9999 at the least")
    top_logprobs: list[dict[str, float]] = Field(description="the likeliest tokens at each place")
    text_offset: list[int] = Field(description="where in the completion each begins")


class CompletionChoice(BaseModel):
    """One of the generations, or a part of it."""

    index: int = Field(description="from 0; those of one prompt stand together")
    text: str
    logprobs: OpenAICompletionLogprobs | None = Field(description="null unless wanted")
    finish_reason: FinishReason | None = Field(description="null in all but the last part")


class Completion(BaseModel):
    """A response in one piece, or one event of a stream."""

    id: str = Field(description="`cmpl-` and the request's id")
    object: Literal["text_completion"]
    created: int = Field(description="when the request came, in seconds since 1970")
    model: str = Field(description="the model that has served the request")
    system_fingerprint: str = Field(description="the version of modeld")
    choices: list[CompletionChoice] = Field(description="empty in an event with the usage")
    usage: OpenAIUsage | None = Field(None, description="in a stream only where it is wanted")


def completion_route(body: type[CompletionBody]) -> GenerationRoute[CompletionBody]:
    """Return the route."""
    return GenerationRoute(
        path="/v1/completions",
        name="openai_completions",
        summary="Go on with texts, in OpenAI's form",
        description=_DESCRIPTION,
        body=body,
        body_examples={"prompt": {"prompt": "The capital of France is", "max_tokens": 4}},
        requests=_requests,
        encoder=_encoder,
        responses=(
            ResponseDoc(
                status=200,
                description="The response; a late error is its last event",
                contents=(
                    Content(media_type=JSON, model=Completion, example=_OBJECT),
                    Content(media_type=EVENTS, model=Completion, example=_EVENTS),
                ),
                headers=(NO_STORE, NOT_BUFFERED),
            ),
        ),
        raises=(PromptRequiredError, *WORK_ERRORS),
    )


def _requests(body: CompletionBody, call: Call) -> Sequence[GenerateRequest]:
    return body.requests(call)


def _encoder(body: CompletionBody, call: Call) -> Encoder:
    beginnings = body.beginnings()
    if body.stream is True:
        return CompletionStream(call, beginnings, body.choices, wants_usage=body.wants_usage)
    return CompletionObject(call, beginnings, body.choices, logprobs=body.logprobs is not None)
