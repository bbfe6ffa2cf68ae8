# SPDX-License-Identifier: GPL-3.0-only
"""What can be asked of a model besides text: embeddings, ranking, tokens, the chat's prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from modeld.errors import InternalError, TemplateError
from modeld.httpapi.answers import document, listing
from modeld.httpapi.bodies import parse, read_json
from modeld.httpapi.deadline import within
from modeld.httpapi.exchange import exchange_of
from modeld.httpapi.failures import WORK_ERRORS
from modeld.httpapi.operations import Answer, Content, Operation
from modeld.httpapi.presence import run_guarded, watch_client
from modeld.httpapi.question_bodies import (
    ApplyTemplateAnswer,
    ApplyTemplateRequest,
    DetokenizeAnswer,
    DetokenizeRequest,
    EmbedAnswer,
    EmbedRequest,
    QuestionRequest,
    RankedDocument,
    RerankAnswer,
    RerankRequest,
    TokenizeAnswer,
    TokenizeRequest,
)
from modeld.httpapi.replies import (
    check_count,
    check_finite,
    numbers_of,
    prompt_usage,
    text_or_bytes,
)
from modeld.interfaces import ModelService
from modeld.questions import AnyQuestion, Embeddings, Ranking, Reply, Text, Tokens
from modeld.settings import Settings

Body = TypeVar("Body", bound=QuestionRequest)
Wanted = TypeVar("Wanted", bound=Reply)

_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
_RERANKER = "bge-reranker-v2-m3-q4_k_m.gguf"
_RERANK = {
    "model": _RERANKER,
    "query": "which animal purrs?",
    "documents": ["A dog barks.", "A cat purrs."],
    "return_documents": True,
}
_RANKING = {
    "model": _RERANKER,
    "results": [
        {"index": 1, "score": 6.71, "document": "A cat purrs."},
        {"index": 0, "score": -10.2, "document": "A dog barks."},
    ],
    "usage": {"prompt_tokens": 26, "total_tokens": 26},
}
_DESCRIPTION = """\
The model is loaded if it is not in memory, and the request waits for its turn as one for text
does. A model that cannot do this is refused with `not_supported`. A client that closes its
connection ends the work at once.
"""
_NUMBERS_PER_TURN = 16_384
_IDS_PER_TURN = 16_384
_PIECES_PER_TURN = 2048


class Questions:
    """Serves ``/embed``, ``/rerank``, ``/tokenize``, ``/detokenize`` and ``/apply-template``."""

    def __init__(self, service: ModelService, settings: Settings) -> None:
        self._service = service
        self._settings = settings

    async def embed(self, request: Request) -> Response:
        """The vectors of some texts."""
        body = await self._read(EmbedRequest, request)
        reply = await self._ask(request, body, Embeddings)
        check_count(reply.vectors, body.input)
        longest = max(map(len, reply.vectors), default=0)
        return await listing(
            "embeddings",
            map(_checked, reply.vectors),
            max(1, _NUMBERS_PER_TURN // max(1, longest)),
            {
                "model": exchange_of(request.scope).model,
                "usage": prompt_usage(reply.usage).model_dump(),
            },
        )

    async def rerank(self, request: Request) -> Response:
        """The documents, the most relevant first; of equals the one that was named first."""
        body = await self._read(RerankRequest, request)
        reply = await self._ask(request, body, Ranking)
        check_count(reply.scores, body.documents)
        check_finite(reply.scores)
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
        return document(RerankAnswer(model=model, results=results, usage=prompt_usage(reply.usage)))

    async def tokenize(self, request: Request) -> Response:
        """The tokens of a text."""
        body = await self._read(TokenizeRequest, request)
        reply = await self._ask(request, body, Tokens)
        if not body.with_pieces:
            return await listing("tokens", reply.ids, _IDS_PER_TURN, {})
        check_count(reply.pieces, reply.ids)
        pieces = (
            {"id": token, "piece": text_or_bytes(piece)}
            for token, piece in zip(reply.ids, reply.pieces, strict=True)
        )
        return await listing("tokens", pieces, _PIECES_PER_TURN, {})

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
        exchange = exchange_of(request.scope)
        work = self._reply_in_time(body.to_question(exchange.request_id))
        reply = await run_guarded(work, watch_client(request.receive))
        if not isinstance(reply, wanted):
            raise InternalError(f"the service has answered with {type(reply).__name__}")
        exchange.note_answer(numbers_of(reply))
        return reply

    async def _reply_in_time(self, question: AnyQuestion) -> Reply:
        async with within(question.timeout_s):
            return await self._service.ask(question)

    def operations(self) -> tuple[Operation, ...]:
        """The rows of the route table."""
        return (*self._of_likeness(), *self._of_tokens(), self._of_templates())

    def _of_likeness(self) -> tuple[Operation, Operation]:
        return (
            Operation(
                method="POST",
                path="/embed",
                endpoint=self.embed,
                name="embed",
                tag="questions",
                summary="Turn texts into vectors",
                description=_DESCRIPTION,
                body=EmbedRequest,
                body_examples={"one": {"input": "a cat"}, "several": {"input": ["a cat", "a dog"]}},
                answers=_answer(
                    EmbedAnswer,
                    {
                        "model": _MODEL,
                        "usage": {"prompt_tokens": 4, "total_tokens": 4},
                        "embeddings": [[-0.0247, -0.0104, 0.0261], [-0.0123, 0.0073, 0.0155]],
                    },
                ),
                raises=WORK_ERRORS,
            ),
            Operation(
                method="POST",
                path="/rerank",
                endpoint=self.rerank,
                name="rerank",
                tag="questions",
                summary="Order documents by how relevant they are for a query",
                description=_DESCRIPTION,
                body=RerankRequest,
                body_examples={"pets": _RERANK},
                answers=_answer(RerankAnswer, _RANKING),
                raises=WORK_ERRORS,
            ),
        )

    def _of_tokens(self) -> tuple[Operation, Operation]:
        tokens = [
            {"id": 81, "piece": "a"},
            {"id": 15107, "piece": [32, 240, 159]},
            {"id": 116, "piece": [166]},
            {"id": 243, "piece": [153]},
        ]
        return (
            Operation(
                method="POST",
                path="/tokenize",
                endpoint=self.tokenize,
                name="tokenize",
                tag="questions",
                summary="Turn text into tokens",
                description=_DESCRIPTION,
                body=TokenizeRequest,
                body_examples={
                    "ids": {"content": "A llama 🦙"},
                    "pieces": {"content": "a 🦙", "with_pieces": True},
                },
                answers=_answer(TokenizeAnswer, {"tokens": tokens}),
                raises=WORK_ERRORS,
            ),
            Operation(
                method="POST",
                path="/detokenize",
                endpoint=self.detokenize,
                name="detokenize",
                tag="questions",
                summary="Turn tokens into text",
                description=_DESCRIPTION,
                body=DetokenizeRequest,
                body_examples={"tokens": {"tokens": [49, 116, 81]}},
                answers=_answer(DetokenizeAnswer, {"content": "A\ufffda"}),
                raises=WORK_ERRORS,
            ),
        )

    def _of_templates(self) -> Operation:
        prompt = (
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by"
            " Hugging Face<|im_end|>\n<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n"
        )
        return Operation(
            method="POST",
            path="/apply-template",
            endpoint=self.apply_template,
            name="apply_template",
            tag="questions",
            summary="Turn a chat into a prompt by the model's chat template",
            description=_DESCRIPTION,
            body=ApplyTemplateRequest,
            body_examples={"chat": {"messages": [{"role": "user", "content": "Hello!"}]}},
            answers=_answer(ApplyTemplateAnswer, {"prompt": prompt}),
            raises=(TemplateError, *WORK_ERRORS),
        )


def _answer(model: type[BaseModel], example: Mapping[str, object]) -> tuple[Answer]:
    content = Content(media_type="application/json", model=model, example=example)
    return (Answer(status=200, description="The answer", contents=(content,)),)


def _checked(vector: Sequence[float]) -> Sequence[float]:
    check_finite(vector)
    return vector
