# SPDX-License-Identifier: GPL-3.0-only
"""``POST /v1/chat/completions``: the next turn of a chat, streamed or whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from modeld.dialects import JSON, Call, Encoder, GenerationRoute
from modeld.dialects.documents import NO_STORE, WORK_ERRORS, Content, Header, ResponseDoc
from modeld.errors import PromptRequiredError, TemplateError
from modeld.requests import GenerateRequest
from modeld_openai.chat.body import ChatCompletionBody
from modeld_openai.chat.encoder import ChatObject, ChatStream
from modeld_openai.chat.responses import ChatCompletion, ChatCompletionChunk
from modeld_openai.events import DONE, EVENTS, event
from modeld_openai.head import FINGERPRINT

NOT_BUFFERED: Final = Header(
    name="X-Accel-Buffering", value="no", description="a proxy must pass each token on at once"
)

_DESCRIPTION = """\
With `"stream": true` each event has a chunk, and the last one the word `[DONE]`. A stream that
fails half-way ends with an event that has an `error`. A client that closes its connection ends the
work at once.
"""
_TURN = {"role": "user", "content": "What is the capital of France?"}
_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "chat": {"messages": [_TURN], "max_tokens": 16, "temperature": 0},
    "stream": {"messages": [_TURN], "stream": True, "stream_options": {"include_usage": True}},
}

_HEAD = {
    "id": "chatcmpl-docs-1",
    "object": "chat.completion",
    "created": 1764547200,
    "model": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "system_fingerprint": FINGERPRINT,
}
_USAGE = {
    "prompt_tokens": 37,
    "completion_tokens": 8,
    "total_tokens": 45,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
_SAID = {"role": "assistant", "content": "The capital of France is Paris.", "refusal": None}
_END = {"index": 0, "logprobs": None, "finish_reason": "stop"}
_OBJECT = {**_HEAD, "choices": [{**_END, "message": _SAID}], "usage": _USAGE}


def _chunk(delta: Mapping[str, str], reason: str | None = None) -> str:
    choice = {**_END, "delta": delta, "finish_reason": reason}
    return event({**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}).decode()


_EVENTS = (
    _chunk({"role": "assistant", "content": ""})
    + _chunk({"content": "The capital of France is Paris."})
    + _chunk({}, "stop")
    + DONE.decode()
)


def chat_route(body: type[ChatCompletionBody]) -> GenerationRoute[ChatCompletionBody]:
    """Return the route."""
    return GenerationRoute(
        path="/v1/chat/completions",
        name="openai_chat_completions",
        summary="Say the next turn of a chat, in OpenAI's form",
        description=_DESCRIPTION,
        body=body,
        body_examples=_EXAMPLES,
        requests=_requests,
        encoder=_encoder,
        responses=(
            ResponseDoc(
                status=200,
                description="The response; a late error is its last event",
                contents=(
                    Content(media_type=JSON, model=ChatCompletion, example=_OBJECT),
                    Content(media_type=EVENTS, model=ChatCompletionChunk, example=_EVENTS),
                ),
                headers=(NO_STORE, NOT_BUFFERED),
            ),
        ),
        raises=(PromptRequiredError, TemplateError, *WORK_ERRORS),
    )


def _requests(body: ChatCompletionBody, call: Call) -> Sequence[GenerateRequest]:
    return body.requests(call)


def _encoder(body: ChatCompletionBody, call: Call) -> Encoder:
    if body.stream is True:
        return ChatStream(call, body.choices, wants_usage=body.wants_usage)
    return ChatObject(call, body.choices, logprobs=body.logprobs is True)
