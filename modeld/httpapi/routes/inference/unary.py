# SPDX-License-Identifier: GPL-3.0-only
"""The routes of unary requests: embeddings, rankings, tokens and the prompt of a chat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from modeld.dialects import Call, UnaryRoute, WholeResponse, listing
from modeld.dialects.documents import WORK_ERRORS, Content, ResponseDoc
from modeld.errors import ModeldError, TemplateError
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

B = TypeVar("B", bound=UnaryBody)

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


def _route(
    path: str,
    summary: str,
    body: type[B],
    *,
    body_examples: Mapping[str, Any],
    respond: Callable[[B, Call, Sequence[Any]], Awaitable[WholeResponse]],
    response: type[BaseModel],
    example: Mapping[str, object],
    raises: tuple[type[ModeldError], ...] = WORK_ERRORS,
) -> UnaryRoute[B]:
    content = Content(media_type="application/json", model=response, example=example)
    return UnaryRoute(
        path=path,
        name=path.strip("/").replace("-", "_"),
        tag="embeddings and tokens",
        summary=summary,
        description=_DESCRIPTION,
        body=body,
        body_examples=body_examples,
        requests=_requests,
        respond=respond,
        responses=(ResponseDoc(status=200, description="The response", contents=(content,)),),
        raises=raises,
    )


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


def _checked(vector: Sequence[float]) -> Sequence[float]:
    check_finite(vector)
    return vector


UNARY_ROUTES: Final[tuple[UnaryRoute[Any], ...]] = (
    _route(
        "/embed",
        "Turn texts into vectors",
        EmbedBody,
        body_examples={"one": {"input": "a cat"}, "several": {"input": ["a cat", "a dog"]}},
        respond=_embedded,
        response=EmbedResponseBody,
        example=_VECTORS,
    ),
    _route(
        "/rerank",
        "Order documents by how relevant they are for a query",
        RerankBody,
        body_examples={"pets": _RERANK},
        respond=_ranked,
        response=RerankResponseBody,
        example=_RANKING,
    ),
    _route(
        "/tokenize",
        "Turn text into tokens",
        TokenizeBody,
        body_examples={
            "ids": {"content": "A llama 🦙"},
            "pieces": {"content": "a 🦙", "with_pieces": True},
        },
        respond=_tokenized,
        response=TokenizeResponseBody,
        example={"tokens": _PIECES},
    ),
    _route(
        "/detokenize",
        "Turn tokens into text",
        DetokenizeBody,
        body_examples={"tokens": {"tokens": [49, 116, 81]}},
        respond=_detokenized,
        response=DetokenizeResponseBody,
        example={"content": "A\ufffda"},
    ),
    _route(
        "/apply-template",
        "Turn a chat into a prompt by the model's chat template",
        ApplyTemplateBody,
        body_examples={"chat": {"messages": [{"role": "user", "content": "Hello!"}]}},
        respond=_templated,
        response=ApplyTemplateResponseBody,
        example={"prompt": _PROMPT},
        raises=(TemplateError, *WORK_ERRORS),
    ),
)
