# SPDX-License-Identifier: GPL-3.0-only
"""Texts that are too long are cut where a request wants that, and only those."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from modeld_ollama.embedding.bodies import OllamaEmbedBody
from modeld_ollama.embedding.cutting import RESERVED, cut, positions_of_long
from modeld_ollama.embedding.embed import EmbedRoutes
from modeld_ollama.models.catalogue import Catalogue
from msgspec.structs import replace
from ollama_calls import EMBED, M, post, said

from modeld.dialects import Call
from modeld.errors import LoadFailedError
from modeld.requests import AnyUnaryRequest, EmbedRequest, TokenizeRequest
from modeld.responses import AnyUnaryResponse, EmbedResponse, TokenizeResponse, Usage
from modeld.values import ModelSpec
from tests.support.http.fake_service import FakeService

CONTEXT = RESERVED + 3


def tokens(*pieces: bytes) -> TokenizeResponse:
    return TokenizeResponse(ids=tuple(range(len(pieces))), pieces=pieces)


def test_a_text_may_be_too_long_if_it_has_more_bytes_than_there_is_room_for_tokens() -> None:
    assert positions_of_long(["abc", "abcd", "éa", "éé"], CONTEXT) == [1, 3]
    assert positions_of_long(["a", "ab"], 1) == [1]


@pytest.mark.parametrize(
    ("text", "pieces", "kept"),
    [
        ("abcdef", (b"ab", b"cd", b"ef"), "abcdef"),
        ("abcdefg", (b"ab", b"cd", b"ef", b"g"), "abcdef"),
        ("aéééé", (b"a", b"\xc3\xa9", b"\xc3", b"\xa9", b"x"), "aé"),
        ("éééé", (b"\xc3",) * 9, "é"),
    ],
)
def test_a_text_that_is_too_long_is_cut_between_its_characters(
    text: str, pieces: tuple[bytes, ...], kept: str
) -> None:
    assert cut(["a", text, "b"], [tokens(*pieces)], CONTEXT) == ("a", kept, "b")


class Embedding(FakeService):
    """Makes a token of each character, and a vector of each text."""

    def __init__(self, *models: ModelSpec) -> None:
        super().__init__(models=models or (replace(M, context=CONTEXT),))

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        self.unary_requests.append(request)
        if isinstance(request, TokenizeRequest):
            return tokens(*(each.encode() for each in request.text))
        assert isinstance(request, EmbedRequest)
        return EmbedResponse(vectors=((1.0,),) * len(request.inputs), usage=Usage())


def embed(service: Embedding, texts: list[str], **body: Any) -> httpx.Response:
    return post(service, EMBED, model="m", input=texts, truncate=True, **body)


def test_texts_are_cut_that_are_too_long() -> None:
    service = Embedding()
    response = embed(service, ["ab", "abcdef", "abc"], timeout_s=5, keep_alive=7)
    assert len(response.json()["embeddings"]) == 3
    first, second = service.unary_requests
    assert isinstance(first, TokenizeRequest)
    assert (first.text, first.add_special, first.keep_alive_s) == ("abcdef", False, 7)
    assert isinstance(second, EmbedRequest)
    assert second.inputs == ("ab", "abc", "abc")
    assert (second.timeout_s, second.keep_alive_s) == (5, 7)


def test_where_none_is_too_long_none_is_looked_at() -> None:
    service = Embedding()
    assert embed(service, ["ab", "abc"]).status_code == 200
    assert [type(each) for each in service.unary_requests] == [EmbedRequest]


def test_only_so_many_texts_are_cut_at_once() -> None:
    assert embed(Embedding(), ["abcdef"] * 128).status_code == 200
    many = embed(Embedding(), ["abcdef"] * 129)
    assert (many.status_code, said(many)[:10]) == (400, "truncate: ")


def test_texts_are_not_cut_for_a_context_that_nobody_knows() -> None:
    unknown = embed(Embedding(replace(M, context=None)), ["abcdef"])
    assert (unknown.status_code, said(unknown)[:10]) == (400, "truncate: ")


def test_texts_are_not_cut_for_another_model_than_they_were_read_by() -> None:
    call = Call(
        request_id="r",
        created_unix=0,
        begun_s=0.0,
        headers={},
        query={},
        path={},
        service=FakeService(),
        model="m",
    )
    route = EmbedRoutes(catalogue=Catalogue()).embed(OllamaEmbedBody)
    assert route.then is not None
    with pytest.raises(LoadFailedError, match="has changed meanwhile"):
        route.then(OllamaEmbedBody(input=["abcdef"]), call, [tokens(b"a")])


def test_a_model_that_is_not_known_yet_is_left_to_the_service() -> None:
    service = Embedding(replace(M, id="other"))
    assert embed(service, ["abcdef"]).status_code == 200
    assert [each.model for each in service.unary_requests] == ["m"]
