# SPDX-License-Identifier: GPL-3.0-only
"""``POST /infer``: text from a model, streamed or whole."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from modeld.errors import NotAcceptableError, PromptRequiredError, TemplateError
from modeld.httpapi.accept import STREAMING_DEFAULT, WHOLE_DEFAULT, Formatters
from modeld.httpapi.bodies import parse, read_json
from modeld.httpapi.cache_salt import CacheSalt
from modeld.httpapi.exchange import exchange_of
from modeld.httpapi.failures import WORK_ERRORS
from modeld.httpapi.infer_answer import DoneLine, StreamLine
from modeld.httpapi.infer_request import InferRequest
from modeld.httpapi.operations import NO_STORE, Answer, Content, Header, Operation
from modeld.httpapi.streaming import Delivery
from modeld.interfaces import ModelService
from modeld.settings import Settings

_DESCRIPTION = """\
Streams one JSON object per line: `{"token": …}` for each piece of text and, last, an object with
`"done": true` and the whole answer. An answer that fails half-way ends with an error object
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


class Infer:
    """Serves ``POST /infer`` as an ASGI application."""

    def __init__(
        self,
        service: ModelService,
        settings: Settings,
        formatters: Formatters,
        cache_salt: CacheSalt,
    ) -> None:
        self._service = service
        self._settings = settings
        self._formatters = formatters
        self._cache_salt = cache_salt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = exchange_of(scope)
        body = parse(InferRequest, await read_json(scope, receive, self._settings.max_body_bytes))
        exchange.model = body.model or self._settings.default_model
        request = body.to_generate_request(exchange.request_id)
        request = replace(request, cache_salt=self._cache_salt.of(scope, request.cache_salt))
        formatter = self._formatters.choose(
            ",".join(Headers(scope=scope).getlist("accept")), stream=body.stream is not False
        )
        delivery = Delivery(
            exchange, formatter, send, write_timeout_s=self._settings.write_timeout_s
        )
        await delivery.run(self._service.infer(request), receive, body.timeout_s)

    def operations(self) -> tuple[Operation, ...]:
        """The one row of the route table."""
        return (
            Operation(
                method="POST",
                path="/infer",
                endpoint=self,
                name="infer",
                tag="text",
                summary="Generate text",
                description=_DESCRIPTION,
                body=InferRequest,
                body_examples=_BODIES,
                answers=(
                    Answer(
                        status=200,
                        description="The answer; a late error is its last line",
                        contents=tuple(map(_content, self._formatters.media_types)),
                        headers=(NO_STORE, _NOT_BUFFERED),
                    ),
                ),
                raises=_ERRORS,
            ),
        )
