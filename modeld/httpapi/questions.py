# SPDX-License-Identifier: GPL-3.0-only
"""What can be asked of a model besides text: embeddings, ranking, tokens, the chat's prompt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sized
from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from modeld.errors import InternalError, ModeldError, TemplateError
from modeld.httpapi.answers import array, document, encoded
from modeld.httpapi.bodies import parse, read_json
from modeld.httpapi.deadline import within
from modeld.httpapi.exchange import exchange_of
from modeld.httpapi.failures import WORK_ERRORS
from modeld.httpapi.operations import Answer, Content, Endpoint, Operation
from modeld.httpapi.presence import run_guarded, watch_client
from modeld.httpapi.question_bodies import (
    ApplyTemplateAnswer,
    ApplyTemplateRequest,
    DetokenizeAnswer,
    DetokenizeRequest,
    EmbedAnswer,
    EmbedRequest,
    PromptUsage,
    QuestionRequest,
    RankedDocument,
    RerankAnswer,
    RerankRequest,
    TokenizeAnswer,
    TokenizeRequest,
)
from modeld.interfaces import ModelService
from modeld.questions import AnyQuestion, Embeddings, Ranking, Reply, Text, Tokens
from modeld.settings import Settings
from modeld.values import Usage

Body = TypeVar("Body", bound=QuestionRequest)
Wanted = TypeVar("Wanted", bound=Reply)

_MODEL = "model.gguf"
_DESCRIPTION = """\
The model is loaded if it is not in memory, and the request waits for its turn as one for text
does. A model that cannot do this is refused with `not_supported`. A client that closes its
connection ends the work at once.
"""
_VECTORS_PER_TURN = 16
_TOKENS_PER_TURN = 4096


class Questions:
    """Serves ``/embed``, ``/rerank``, ``/tokenize``, ``/detokenize`` and ``/apply-template``."""

    def __init__(self, service: ModelService, settings: Settings) -> None:
        self._service = service
        self._settings = settings

    async def embed(self, request: Request) -> Response:
        """The vectors of some texts."""
        body = await self._read(EmbedRequest, request)
        reply = await self._ask(request, body, Embeddings)
        _check_count(reply.vectors, body.input)
        vectors = await array(reply.vectors, _VECTORS_PER_TURN)
        if b"null" in bytes(vectors):
            raise InternalError("the service has answered with a number that is not finite")
        model, usage = exchange_of(request.scope).model, _usage(reply.usage).model_dump()
        return encoded({"model": model, "embeddings": vectors, "usage": usage})

    async def rerank(self, request: Request) -> Response:
        """The documents, the most relevant first; of equals the one that was named first."""
        body = await self._read(RerankRequest, request)
        reply = await self._ask(request, body, Ranking)
        _check_count(reply.scores, body.documents)
        if not all(map(math.isfinite, reply.scores)):
            raise InternalError("the service has answered with a number that is not finite")
        best = sorted(range(len(reply.scores)), key=lambda index: -reply.scores[index])
        results = [
            RankedDocument(
                index=index,
                score=reply.scores[index],
                document=body.documents[index] if body.return_documents else None,
            )
            for index in best[: body.top_n]
        ]
        model = exchange_of(request.scope).model
        return document(RerankAnswer(model=model, results=results, usage=_usage(reply.usage)))

    async def tokenize(self, request: Request) -> Response:
        """The tokens of a text."""
        body = await self._read(TokenizeRequest, request)
        reply = await self._ask(request, body, Tokens)
        if not body.with_pieces:
            return encoded({"tokens": reply.ids})
        _check_count(reply.pieces, reply.ids)
        pieces = (
            {"id": token, "piece": _text_or_bytes(piece)}
            for token, piece in zip(reply.ids, reply.pieces, strict=True)
        )
        return encoded({"tokens": await array(pieces, _TOKENS_PER_TURN)})

    async def detokenize(self, request: Request) -> Response:
        """The text of some tokens."""
        body = await self._read(DetokenizeRequest, request)
        return document(DetokenizeAnswer(content=(await self._ask(request, body, Text)).text))

    async def apply_template(self, request: Request) -> Response:
        """The prompt that the model's template makes of a chat."""
        body = await self._read(ApplyTemplateRequest, request)
        return document(ApplyTemplateAnswer(prompt=(await self._ask(request, body, Text)).text))

    async def _read(self, kind: type[Body], request: Request) -> Body:
        limit_bytes = self._settings.max_body_bytes
        body = parse(kind, await read_json(request.scope, request.receive, limit_bytes))
        exchange_of(request.scope).model = body.model or self._settings.default_model
        return body

    async def _ask(self, request: Request, body: QuestionRequest, wanted: type[Wanted]) -> Wanted:
        """The reply, within the request's own time and while its client is there."""
        question = body.to_question(exchange_of(request.scope).request_id)
        work = self._reply_in_time(question)
        reply = await run_guarded(work, watch_client(request.receive))
        if not isinstance(reply, wanted):
            raise InternalError(f"the service has answered with {type(reply).__name__}")
        return reply

    async def _reply_in_time(self, question: AnyQuestion) -> Reply:
        async with within(question.timeout_s):
            return await self._service.ask(question)

    def operations(self) -> tuple[Operation, ...]:
        """The rows of the route table."""
        usage = {"prompt_tokens": 8, "total_tokens": 8}
        chat = {"messages": [{"role": "user", "content": "Hello!"}]}
        return (
            _row(
                "/embed",
                self.embed,
                EmbedRequest,
                EmbedAnswer,
                summary="Turn texts into vectors",
                bodies={"one": {"input": "a cat"}, "several": {"input": ["a cat", "a dog"]}},
                example={"model": _MODEL, "embeddings": [[0.6, 0.8]], "usage": usage},
            ),
            _row(
                "/rerank",
                self.rerank,
                RerankRequest,
                RerankAnswer,
                summary="Order documents by how relevant they are for a query",
                bodies={"pets": {"query": "what purrs?", "documents": ["a dog", "a cat"]}},
                example={
                    "model": _MODEL,
                    "results": [{"index": 1, "score": 0.98}, {"index": 0, "score": 0.02}],
                    "usage": usage,
                },
            ),
            _row(
                "/tokenize",
                self.tokenize,
                TokenizeRequest,
                TokenizeAnswer,
                summary="Turn text into tokens",
                bodies={"text": {"content": "a cat", "with_pieces": True}},
                example={"tokens": [{"id": 64, "piece": "a"}, {"id": 2644, "piece": " cat"}]},
            ),
            _row(
                "/detokenize",
                self.detokenize,
                DetokenizeRequest,
                DetokenizeAnswer,
                summary="Turn tokens into text",
                bodies={"tokens": {"tokens": [64, 2644]}},
                example={"content": "a cat"},
            ),
            _row(
                "/apply-template",
                self.apply_template,
                ApplyTemplateRequest,
                ApplyTemplateAnswer,
                TemplateError,
                summary="Turn a chat into a prompt by the model's chat template",
                bodies={"chat": chat},
                example={"prompt": "<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n"},
            ),
        )


def _row(
    path: str,
    endpoint: Endpoint,
    body: type[BaseModel],
    answer: type[BaseModel],
    *raises: type[ModeldError],
    summary: str,
    bodies: Mapping[str, Mapping[str, object]],
    example: object,
) -> Operation:
    content = Content(media_type="application/json", model=answer, example=example)
    return Operation(
        method="POST",
        path=path,
        endpoint=endpoint,
        name=path.strip("/").replace("-", "_"),
        summary=summary,
        description=_DESCRIPTION,
        body=body,
        body_examples=bodies,
        answers=(Answer(status=200, description="The answer", contents=(content,)),),
        raises=(*raises, *WORK_ERRORS),
    )


def _usage(usage: Usage) -> PromptUsage:
    return PromptUsage(prompt_tokens=usage.prompt_tokens, total_tokens=usage.total_tokens)


def _text_or_bytes(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


def _check_count(answered: Sized, asked: Sized) -> None:
    if len(answered) != len(asked):
        raise InternalError(f"the service has answered {len(answered)} of {len(asked)} parts")
