# SPDX-License-Identifier: GPL-3.0-only
"""``POST /v1/rerank``: documents in the order of how relevant they are.

OpenAI has no such route. Clients that want one beside its API know this form, which is that of Jina
and Cohere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from modeld.dialects import JSON, Call, UnaryRoute, WholeResponse
from modeld.dialects.body import ModelRequest
from modeld.dialects.documents import WORK_ERRORS, Content, ResponseDoc
from modeld.errors import InternalError
from modeld.requests import RerankRequest
from modeld_openai.embeddings import OpenAIEmbeddingUsage
from modeld_openai.fields import Label

MAX_DOCUMENTS = 1024

_REQUEST = {
    "model": "bge-reranker-v2-m3-q4_k_m.gguf",
    "query": "which animal purrs?",
    "documents": ["A dog barks.", "A cat purrs."],
    "top_n": 1,
    "return_documents": True,
}
_RESPONSE = {
    "object": "list",
    "model": "bge-reranker-v2-m3-q4_k_m.gguf",
    "results": [{"index": 1, "relevance_score": 6.71, "document": {"text": "A cat purrs."}}],
    "usage": {"prompt_tokens": 26, "total_tokens": 26},
}


class RerankDocumentsBody(ModelRequest):
    """Documents to be ordered by how relevant they are for a query."""

    query: str = Field(min_length=1, description="what is looked for")
    documents: Annotated[
        list[Annotated[str, Field(min_length=1)]],
        Field(min_length=1, max_length=MAX_DOCUMENTS, fail_fast=True),
    ] = Field(description="the texts to be ordered; none of them empty")
    top_n: int | None = Field(
        None, ge=1, le=MAX_DOCUMENTS, description="how many of the best to send; without it all"
    )
    return_documents: bool | None = Field(
        None, description="true sends the text of each document too; false is the default"
    )
    user: Label | None = Field(None, description="taken and without effect")


class OpenAIRankedText(BaseModel):
    """A document."""

    text: str


class OpenAIRankedDocument(BaseModel):
    """How relevant a document is."""

    index: int = Field(description="which document of the request it is, from 0")
    relevance_score: float = Field(description="higher is more relevant, on the model's own scale")
    document: OpenAIRankedText | None = Field(None, description="absent unless wanted")


class OpenAIRanking(BaseModel):
    """The documents, the most relevant first."""

    object: Literal["list"]
    model: str = Field(description="the model that has served the request")
    results: list[OpenAIRankedDocument]
    usage: OpenAIEmbeddingUsage


def rerank_route() -> UnaryRoute[RerankDocumentsBody]:
    """Return the route."""
    content = Content(media_type=JSON, model=OpenAIRanking, example=_RESPONSE)
    return UnaryRoute(
        path="/v1/rerank",
        name="openai_rerank",
        summary="Order documents by how relevant they are for a query, in Jina's and Cohere's form",
        body=RerankDocumentsBody,
        body_examples={"pets": _REQUEST},
        requests=_requests,
        respond=_ranked,
        responses=(ResponseDoc(status=200, description="The response", contents=(content,)),),
        raises=WORK_ERRORS,
    )


def _requests(body: RerankDocumentsBody, call: Call) -> tuple[RerankRequest]:
    request = RerankRequest(
        query=body.query,
        documents=tuple(body.documents),
        **body.common_members(call.request_id),
    )
    return (request,)


async def _ranked(body: RerankDocumentsBody, call: Call, responses: Sequence[Any]) -> WholeResponse:
    """Respond with the documents, the most relevant first; of equals the one named first."""
    (response,) = responses
    scores = response.scores
    if len(scores) != len(body.documents) or not all(map(math.isfinite, scores)):
        raise InternalError("the service has not responded with a score for each document")
    best = sorted(range(len(scores)), key=lambda index: -scores[index])[: body.top_n]
    results = [_result(body, index, scores[index]) for index in best]
    tokens = response.usage.prompt_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return WholeResponse.of(
        {"object": "list", "model": call.model, "results": results, "usage": usage}
    )


def _result(body: RerankDocumentsBody, index: int, score: float) -> dict[str, object]:
    result: dict[str, object] = {"index": index, "relevance_score": score}
    if body.return_documents:
        result["document"] = {"text": body.documents[index]}
    return result
