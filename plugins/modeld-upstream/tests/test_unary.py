# SPDX-License-Identifier: GPL-3.0-only
"""Unary requests to servers that send too little, or nothing at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attached import attached
from modeld_upstream.connection.errors import UpstreamError
from scripted_server import Asked, Connection, scripted

from modeld.errors import ModeldError, NotSupportedError
from modeld.requests import (
    AnyUnaryRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.responses import AnyUnaryResponse, EmbedResponse, TextResponse, TokenizeResponse

EMBED = EmbedRequest(inputs=("a", "b"))


def asked(
    request: AnyUnaryRequest, body: object, status: int = 200, kind: str = "generic"
) -> tuple[AnyUnaryResponse, Asked]:
    async def respond(_asked: Asked, connection: Connection) -> None:
        await connection.whole(status, body)

    async def main() -> tuple[AnyUnaryResponse, Asked]:
        async with scripted(respond) as server, attached(server.url, kind=kind) as engine:
            return await engine.submit(request), server.posted[0]

    return asyncio.run(main())


def test_vectors_are_put_in_order_and_scaled() -> None:
    data = [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 4]}]
    response, sent = asked(EMBED, {"data": data, "usage": {"prompt_tokens": 2}})
    assert isinstance(response, EmbedResponse)
    assert response.vectors == ((0.6, 0.8), (0.0, 1.0))
    assert response.usage.prompt_tokens == 2
    assert (sent.path, sent.body["input"]) == ("/v1/embeddings", ["a", "b"])


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (EMBED, {"data": [{"index": 0, "embedding": [1.0]}]}),
        (EMBED, {"data": [{"index": 0, "embedding": "AAAA"}] * 2}),
        (EMBED, b"<html>"),
        (RerankRequest(query="q", documents=("a", "b")), {"results": []}),
    ],
)
def test_less_than_was_asked_for_is_a_fault_of_the_server(
    request_: AnyUnaryRequest, body: object
) -> None:
    with pytest.raises(UpstreamError):
        asked(request_, body)


def test_an_address_that_is_not_there_means_that_it_is_not_served() -> None:
    with pytest.raises(NotSupportedError):
        asked(EMBED, {"error": "File Not Found"}, status=404)


def test_what_a_server_does_in_any_case_cannot_be_turned_off() -> None:
    with pytest.raises(ModeldError) as caught:
        asked(EmbedRequest(inputs=("a",), normalize=False), {})
    assert caught.value.field == "normalize"


@pytest.mark.parametrize(
    ("request_", "body", "path", "response"),
    [
        (
            TokenizeRequest(text="é", with_pieces=True),
            {"tokens": [{"id": 1, "piece": [195]}, {"id": 2, "piece": "x"}]},
            "/tokenize",
            TokenizeResponse(ids=(1, 2), pieces=(b"\xc3", b"x")),
        ),
        (DetokenizeRequest(tokens=(1,)), {"content": "x"}, "/detokenize", TextResponse(text="x")),
    ],
)
def test_llama_server_has_its_own_addresses(
    request_: AnyUnaryRequest, body: Any, path: str, response: AnyUnaryResponse
) -> None:
    found, sent = asked(request_, body, kind="llama-server")
    assert (found, sent.path) == (response, path)
