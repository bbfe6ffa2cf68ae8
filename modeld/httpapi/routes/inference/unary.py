# SPDX-License-Identifier: GPL-3.0-only
"""The routes of unary requests: embeddings, rankings, tokens and the prompt of a chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from modeld.dialects import Call, UnaryRoute, WholeResponse, listing
from modeld.dialects.documents import WORK_ERRORS, Content, ResponseDoc
from modeld.errors import TemplateError
from modeld.httpapi.routes.inference.unary_bodies import (
    ApplyTemplateBody,
    DetokenizeBody,
    EmbedBody,
    RerankBody,
    TokenizeBody,
    UnaryBody,
)
from modeld.httpapi.routes.inference.unary_response import (
    ApplyTemplateResponseBody,
    DetokenizeResponseBody,
    EmbedResponseBody,
    RankedDocument,
    RerankResponseBody,
    TokenizeResponseBody,
    check_count,
    check_finite,
    prompt_usage,
    text_or_bytes,
)
from modeld.requests import AnyUnaryRequest

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
_VECTORS = {
    "model": _MODEL,
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
    "embeddings": [[-0.0247, -0.0104, 0.0261], [-0.0123, 0.0073, 0.0155]],
}
_PIECES = [
    {"id": 81, "piece": "a"},
    {"id": 15107, "piece": [32, 240, 159]},
    {"id": 116, "piece": [166]},
    {"id": 243, "piece": [153]},
]
_PROMPT = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by"
    " Hugging Face<|im_end|>\n<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n"
)
_DESCRIPTION = """\
The model is loaded if it is not in memory, and the request waits in its queue as one for text
does. A model that cannot do this is refused with `not_supported`. A client that closes its
connection ends the work at once.
"""
_NUMBERS_PER_TURN = 16_384
_IDS_PER_TURN = 16_384
_PIECES_PER_TURN = 2048


def unary_routes() -> tuple[UnaryRoute[Any], ...]:
    """Return ``/embed``, ``/rerank``, ``/tokenize``, ``/detokenize`` and ``/apply-template``."""
    return (_embed(), _rerank(), _tokenize(), _detokenize(), _apply_template())


async def _embedded(body: EmbedBody, call: Call, responses: Sequence[Any]) -> WholeResponse:
    """Return the vectors of some texts."""
    (response,) = responses
    check_count(response.vectors, body.input)
    longest = max(map(len, response.vectors), default=0)
    return await listing(
        "embeddings",
        map(_checked, response.vectors),
        max(1, _NUMBERS_PER_TURN // max(1, longest)),
        {"model": call.model, "usage": prompt_usage(response.usage).model_dump()},
    )


async def _ranked(body: RerankBody, call: Call, responses: Sequence[Any]) -> WholeResponse:
    """Return the documents, the most relevant first; of equals the one named first."""
    (response,) = responses
    check_count(response.scores, body.documents)
    check_finite(response.scores)
    best = sorted(range(len(response.scores)), key=lambda index: -response.scores[index])
    results = [
        RankedDocument(
            index=index,
            score=response.scores[index],
            document=body.documents[index] if body.return_documents else None,
        )
        for index in best[: body.top_n]
    ]
    usage = prompt_usage(response.usage)
    return WholeResponse.of(RerankResponseBody(model=call.model, results=results, usage=usage))


async def _tokenized(body: TokenizeBody, _call: Call, responses: Sequence[Any]) -> WholeResponse:
    """Return the tokens of a text."""
    (response,) = responses
    if not body.with_pieces:
        return await listing("tokens", response.ids, _IDS_PER_TURN, {})
    check_count(response.pieces, response.ids)
    pieces = (
        {"id": token, "piece": text_or_bytes(piece)}
        for token, piece in zip(response.ids, response.pieces, strict=True)
    )
    return await listing("tokens", pieces, _PIECES_PER_TURN, {})


async def _detokenized(
    _body: DetokenizeBody, _call: Call, responses: Sequence[Any]
) -> WholeResponse:
    """Return the text of some tokens."""
    return WholeResponse.of(DetokenizeResponseBody(content=responses[0].text))


async def _templated(
    _body: ApplyTemplateBody, _call: Call, responses: Sequence[Any]
) -> WholeResponse:
    """Return the prompt that the model's template makes of a chat."""
    return WholeResponse.of(ApplyTemplateResponseBody(prompt=responses[0].text))


def _requests(body: UnaryBody, call: Call) -> tuple[AnyUnaryRequest]:
    return (body.to_request(call.request_id),)


def _embed() -> UnaryRoute[EmbedBody]:
    return UnaryRoute(
        path="/embed",
        name="embed",
        tag="embeddings and tokens",
        summary="Turn texts into vectors",
        description=_DESCRIPTION,
        body=EmbedBody,
        body_examples={"one": {"input": "a cat"}, "several": {"input": ["a cat", "a dog"]}},
        requests=_requests,
        respond=_embedded,
        responses=_json_response(EmbedResponseBody, _VECTORS),
        raises=WORK_ERRORS,
    )


def _rerank() -> UnaryRoute[RerankBody]:
    return UnaryRoute(
        path="/rerank",
        name="rerank",
        tag="embeddings and tokens",
        summary="Order documents by how relevant they are for a query",
        description=_DESCRIPTION,
        body=RerankBody,
        body_examples={"pets": _RERANK},
        requests=_requests,
        respond=_ranked,
        responses=_json_response(RerankResponseBody, _RANKING),
        raises=WORK_ERRORS,
    )


def _tokenize() -> UnaryRoute[TokenizeBody]:
    return UnaryRoute(
        path="/tokenize",
        name="tokenize",
        tag="embeddings and tokens",
        summary="Turn text into tokens",
        description=_DESCRIPTION,
        body=TokenizeBody,
        body_examples={
            "ids": {"content": "A llama 🦙"},
            "pieces": {"content": "a 🦙", "with_pieces": True},
        },
        requests=_requests,
        respond=_tokenized,
        responses=_json_response(TokenizeResponseBody, {"tokens": _PIECES}),
        raises=WORK_ERRORS,
    )


def _detokenize() -> UnaryRoute[DetokenizeBody]:
    return UnaryRoute(
        path="/detokenize",
        name="detokenize",
        tag="embeddings and tokens",
        summary="Turn tokens into text",
        description=_DESCRIPTION,
        body=DetokenizeBody,
        body_examples={"tokens": {"tokens": [49, 116, 81]}},
        requests=_requests,
        respond=_detokenized,
        responses=_json_response(DetokenizeResponseBody, {"content": "A\ufffda"}),
        raises=WORK_ERRORS,
    )


def _apply_template() -> UnaryRoute[ApplyTemplateBody]:
    return UnaryRoute(
        path="/apply-template",
        name="apply_template",
        tag="embeddings and tokens",
        summary="Turn a chat into a prompt by the model's chat template",
        description=_DESCRIPTION,
        body=ApplyTemplateBody,
        body_examples={"chat": {"messages": [{"role": "user", "content": "Hello!"}]}},
        requests=_requests,
        respond=_templated,
        responses=_json_response(ApplyTemplateResponseBody, {"prompt": _PROMPT}),
        raises=(TemplateError, *WORK_ERRORS),
    )


def _json_response(model: type[BaseModel], example: Mapping[str, object]) -> tuple[ResponseDoc]:
    content = Content(media_type="application/json", model=model, example=example)
    return (ResponseDoc(status=200, description="The response", contents=(content,)),)


def _checked(vector: Sequence[float]) -> Sequence[float]:
    check_finite(vector)
    return vector
