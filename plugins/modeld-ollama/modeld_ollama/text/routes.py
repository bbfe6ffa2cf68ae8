# SPDX-License-Identifier: GPL-3.0-only
"""``POST /api/chat`` and ``POST /api/generate``: text, streamed or whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from modeld.dialects import JSON, Call, Encoder, GenerationRoute, Wanted
from modeld.dialects.documents import NO_STORE, WORK_ERRORS, Content, Header, ResponseDoc
from modeld.errors import ModeldError, PromptRequiredError, TemplateError
from modeld.requests import GenerateRequest
from modeld_ollama.chat.body import OllamaChatBody
from modeld_ollama.models.catalogue import Catalogue
from modeld_ollama.responses import (
    CHAT_EXAMPLE,
    GENERATE_EXAMPLE,
    MODEL,
    OllamaChatResponse,
    OllamaGenerateResponse,
    lines_of,
)
from modeld_ollama.text.encoders import (
    CHAT,
    GENERATE,
    NDJSON,
    OllamaObject,
    OllamaStream,
    Shape,
    Writing,
)
from modeld_ollama.text.generate import OllamaGenerateBody
from modeld_ollama.text.moves import moved

NOT_BUFFERED: Final = Header(
    name="X-Accel-Buffering",
    value="no",
    description="a proxy must pass each token on at once; missing where nothing was generated",
    required=False,
)

_DESCRIPTION = """\
Unless `stream` is false, each line is an object with a piece of the text, and the last one has
`"done": true` and the costs. A stream that fails half-way ends with a line that has an `error`. A
body in which nothing is said loads the model, or unloads it with `"keep_alive": 0`.
"""
_TURN = {"role": "user", "content": "What is the capital of France?"}
_CHAT_BODIES: Mapping[str, Mapping[str, Any]] = {
    "stream": {"model": MODEL, "messages": [_TURN]},
    "whole": {"model": MODEL, "messages": [_TURN], "stream": False, "options": {"temperature": 0}},
    "unload": {"model": MODEL, "keep_alive": 0},
}
_GENERATE_BODIES: Mapping[str, Mapping[str, Any]] = {
    "stream": {"model": MODEL, "prompt": "What is the capital of France?"},
    "raw": {"model": MODEL, "prompt": "The capital of France is", "raw": True, "stream": False},
    "load": {"model": MODEL, "keep_alive": "10m"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRoutes:
    """Makes the two routes, with the bodies that have the installed backends' options."""

    catalogue: Catalogue
    failure: Callable[[ModeldError], bytes]

    def chat(self, body: type[OllamaChatBody]) -> GenerationRoute[OllamaChatBody]:
        """Return the route for chats."""

        async def requests(body: OllamaChatBody, call: Call) -> Wanted[GenerateRequest]:
            return await self._wanted(body, call, CHAT)

        def encoder(body: OllamaChatBody, call: Call) -> Encoder:
            return self._encoder(body, call, CHAT)

        return GenerationRoute(
            path="/api/chat",
            name="ollama_chat",
            summary="Say the next turn of a chat, in Ollama's form",
            description=_DESCRIPTION,
            body=body,
            body_examples=_CHAT_BODIES,
            requests=requests,
            encoder=encoder,
            responses=(_described(OllamaChatResponse, CHAT_EXAMPLE),),
            raises=(PromptRequiredError, TemplateError, *WORK_ERRORS),
        )

    def generate(self, body: type[OllamaGenerateBody]) -> GenerationRoute[OllamaGenerateBody]:
        """Return the route for single prompts."""

        async def requests(body: OllamaGenerateBody, call: Call) -> Wanted[GenerateRequest]:
            return await self._wanted(body, call, GENERATE)

        def encoder(body: OllamaGenerateBody, call: Call) -> Encoder:
            return self._encoder(body, call, GENERATE)

        return GenerationRoute(
            path="/api/generate",
            name="ollama_generate",
            summary="Respond to a prompt, in Ollama's form",
            description=_DESCRIPTION,
            body=body,
            body_examples=_GENERATE_BODIES,
            requests=requests,
            encoder=encoder,
            responses=(_described(OllamaGenerateResponse, GENERATE_EXAMPLE),),
            raises=(PromptRequiredError, TemplateError, *WORK_ERRORS),
        )

    async def _wanted(
        self, body: OllamaChatBody | OllamaGenerateBody, call: Call, shape: Shape
    ) -> Wanted[GenerateRequest]:
        named = await self.catalogue.find(body.model, call)
        body.check_context(named)
        if body.is_empty:
            return moved(body, named, shape.whole({"content": ""}))
        return [body.request(named, call)]

    def _encoder(
        self, body: OllamaChatBody | OllamaGenerateBody, call: Call, shape: Shape
    ) -> Encoder:
        writing = Writing(
            shape=shape,
            call=call,
            model=body.model or call.model,
            failure=self.failure,
            logprobs=body.logprobs is True,
        )
        return OllamaObject(writing) if body.stream is False else OllamaStream(writing)


def _described(model: type[Any], example: Mapping[str, Any]) -> ResponseDoc:
    return ResponseDoc(
        status=200,
        description="The response; a late error is its last line",
        contents=(
            Content(media_type=NDJSON, model=model, example=lines_of(example)),
            Content(media_type=JSON, model=model, example=example),
        ),
        headers=(NO_STORE, NOT_BUFFERED),
    )
