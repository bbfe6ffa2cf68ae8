# SPDX-License-Identifier: GPL-3.0-only
"""Unary requests, as far as servers have addresses for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar, assert_never

import msgspec

from modeld.errors import ModelNotFoundError, NotSupportedError
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.responses import (
    AnyUnaryResponse,
    EmbedResponse,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
)
from modeld_upstream.connection.client import UpstreamClient
from modeld_upstream.connection.errors import UpstreamAddressError, UpstreamError
from modeld_upstream.kinds import KINDS, KindName
from modeld_upstream.servers import UpstreamServer
from modeld_upstream.wire.bodies import template
from modeld_upstream.wire.documents import (
    EmbeddingsDocument,
    PieceDocument,
    RanksDocument,
    TextDocument,
    TokensDocument,
)
from modeld_upstream.wire.generation import usage_of
from modeld_upstream.wire.messages import message, tool

D = TypeVar("D")


async def submitted(
    request: AnyUnaryRequest, client: UpstreamClient, server: UpstreamServer, model: str
) -> AnyUnaryResponse:
    """Return a server's response to a unary request.

    Raises:
        NotSupportedError: the server has no address for it, or not for all of it.
        ModeldError: as the server says.
    """
    path, body = _asked(request, server.kind, model)
    try:
        content = await client.post(path, body, request.request_id)
    except (ModelNotFoundError, UpstreamAddressError) as exc:
        # The model is there, or nobody would have come so far.
        raise NotSupportedError(exc.message) from exc
    match request:
        case EmbedRequest():
            return _vectors(request, content, client.name)
        case RerankRequest():
            return _ranks(request, content, client.name)
        case TokenizeRequest():
            return _tokens(_read(content, TokensDocument, client.name))
        case DetokenizeRequest() | ApplyTemplateRequest():
            said = _read(content, TextDocument, client.name)
            return TextResponse(text=said.content or said.prompt or "")
        case _:
            assert_never(request)


def _asked(request: AnyUnaryRequest, kind: KindName, model: str) -> tuple[str, dict[str, Any]]:
    """Return the path and the body; two slashes begin a path below the server's root."""
    match request:
        case EmbedRequest():
            body = {"model": model, "input": request.inputs, "encoding_format": "float"}
            return "/embeddings", body | _scaling(request, kind)
        case RerankRequest(query=query, documents=documents):
            return "/rerank", {"model": model, "query": query, "documents": documents}
        case TokenizeRequest():
            return _asked_for_tokens(request, kind, model)
        case DetokenizeRequest(tokens=tokens):
            root = "" if kind == "modeld" else "/"
            return f"{root}/detokenize", {"model": model, "tokens": tokens}
        case ApplyTemplateRequest():
            return "//apply-template", _chat(request, kind)
        case _:
            assert_never(request)


def _scaling(request: EmbedRequest, kind: KindName) -> dict[str, Any]:
    """Return what keeps a server from scaling vectors; what it sends is scaled here otherwise."""
    if request.normalize:
        return {}
    if kind == "modeld":
        return {"normalize": False}
    if kind == "llama-server":
        return {"embd_normalize": -1}
    raise NotSupportedError(
        "normalize: the model's server may scale its vectors in any case; leave it true",
        field="normalize",
    )


def _asked_for_tokens(
    request: TokenizeRequest, kind: KindName, model: str
) -> tuple[str, dict[str, Any]]:
    if kind == "llama-server":
        return "//tokenize", {
            "content": request.text,
            "add_special": request.add_special,
            "parse_special": request.parse_special,
            "with_pieces": request.with_pieces,
        }
    if request.with_pieces:
        raise _unserved("with_pieces", "does not send the bytes of tokens")
    if not request.parse_special:
        raise _unserved("parse_special", "reads special tokens in any case")
    body = {"model": model, "prompt": request.text, "add_special_tokens": request.add_special}
    return ("/tokenize" if kind == "modeld" else "//tokenize"), body


def _chat(request: ApplyTemplateRequest, kind: KindName) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [message(turn) for turn in request.messages]}
    if request.tools:
        body["tools"] = [tool(each) for each in request.tools]
    if request.continue_last:
        body |= KINDS[kind].continues
    return body | template(request, KINDS[kind])


def _unserved(field: str, what: str) -> NotSupportedError:
    return NotSupportedError(f"{field}: the model's server {what}", field=field)


def _vectors(request: EmbedRequest, content: bytes, server: str) -> EmbedResponse:
    document = _read(content, EmbeddingsDocument, server)
    ordered = sorted(document.data, key=lambda each: each.index)
    if [each.index for each in ordered] != list(range(len(request.inputs))):
        raise UpstreamError(f"server {server!r} has not sent one vector for each input")
    vectors = (each.embedding for each in ordered)
    return EmbedResponse(
        vectors=tuple(map(_scaled if request.normalize else tuple, vectors)),
        usage=usage_of(document.usage),
    )


def _scaled(vector: Sequence[float]) -> tuple[float, ...]:
    length = math.sqrt(math.fsum(number * number for number in vector))
    return tuple(number / length for number in vector) if length else tuple(vector)


def _ranks(request: RerankRequest, content: bytes, server: str) -> RerankResponse:
    document = _read(content, RanksDocument, server)
    scores = {each.index: each.relevance_score for each in document.results}
    if scores.keys() != set(range(len(request.documents))):
        raise UpstreamError(f"server {server!r} has not sent one score for each document")
    return RerankResponse(
        scores=tuple(scores[index] for index in range(len(scores))),
        usage=usage_of(document.usage),
    )


def _tokens(document: TokensDocument) -> TokenizeResponse:
    ids: list[int] = []
    pieces: list[bytes] = []
    for token in document.tokens:
        if isinstance(token, PieceDocument):
            ids.append(token.id)
            said = token.piece
            pieces.append(said.encode() if isinstance(said, str) else bytes(said))
        else:
            ids.append(token)
    return TokenizeResponse(ids=tuple(ids), pieces=tuple(pieces))


def _read(content: bytes, kind: type[D], server: str) -> D:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise UpstreamError(f"server {server!r} sent something else than was due: {exc}") from exc
