# SPDX-License-Identifier: GPL-3.0-only
"""``POST /v1/messages``: the next message of a conversation, streamed or whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from modeld.dialects import JSON, Call, Encoder, GenerationRoute
from modeld.dialects.documents import WORK_ERRORS, Content, Header, ResponseDoc
from modeld.errors import PromptRequiredError, TemplateError
from modeld.requests import GenerateRequest
from modeld_anthropic.events import EVENTS, event
from modeld_anthropic.headers import HEADERS, PARAMETERS
from modeld_anthropic.messages.body import MessagesBody
from modeld_anthropic.messages.responses import AnthropicEvent, AnthropicMessage
from modeld_anthropic.messages.stream import MessageStream
from modeld_anthropic.messages.whole import MessageObject

NOT_BUFFERED: Final = Header(
    name="X-Accel-Buffering", value="no", description="a proxy must pass each token on at once"
)

_DESCRIPTION = """\
With `"stream": true` the message comes as events, each named as the `type` of its data. A stream
that fails half-way ends with the event `error`. A client that closes its connection ends the work
at once.
"""
_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHORT = {
    "model": _MODEL,
    "max_tokens": 16,
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}
_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "message": {**_SHORT, "system": "You are brief.", "temperature": 0},
    "stream": {**_SHORT, "stream": True},
}
_USAGE = {
    "input_tokens": 37,
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
    "output_tokens": 8,
    "output_tokens_details": {"thinking_tokens": 0},
}
_UNKNOWN = {**_USAGE, "input_tokens": 0, "output_tokens": 0}
_HEAD = {"id": "msg_docs-1", "type": "message", "role": "assistant", "model": _MODEL}
_END = {"stop_reason": "end_turn", "stop_sequence": None}
_TEXT = "The capital of France is Paris."
_OBJECT = {**_HEAD, "content": [{"type": "text", "text": _TEXT}], **_END, "usage": _USAGE}
_STARTED: Mapping[str, Any] = {
    **_HEAD,
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": _UNKNOWN,
}
_EVENTS = b"".join(
    (
        event("message_start", message=_STARTED),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("ping"),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": _TEXT}),
        event("content_block_stop", index=0),
        event("message_delta", delta=_END, usage=_USAGE),
        event("message_stop"),
    )
).decode()


def messages_route(body: type[MessagesBody]) -> GenerationRoute[MessagesBody]:
    """Return the route."""
    return GenerationRoute(
        path="/v1/messages",
        name="anthropic_messages",
        summary="Say the next message of a conversation, in Anthropic's form",
        description=_DESCRIPTION,
        body=body,
        body_examples=_EXAMPLES,
        requests=_requests,
        encoder=_encoder,
        parameters=PARAMETERS,
        responses=(
            ResponseDoc(
                status=200,
                description="The message; a late error is its last event",
                contents=(
                    Content(media_type=JSON, model=AnthropicMessage, example=_OBJECT),
                    Content(media_type=EVENTS, model=AnthropicEvent, example=_EVENTS),
                ),
                headers=(*HEADERS, NOT_BUFFERED),
            ),
        ),
        raises=(PromptRequiredError, TemplateError, *WORK_ERRORS),
    )


def _requests(body: MessagesBody, call: Call) -> Sequence[GenerateRequest]:
    return [body.request(call)]


def _encoder(body: MessagesBody, call: Call) -> Encoder:
    kind = MessageStream if body.stream is True else MessageObject
    return kind(call, shows_thinking=body.shows_thinking)
