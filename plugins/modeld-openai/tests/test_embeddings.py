# SPDX-License-Identifier: GPL-3.0-only
"""Texts become vectors, as numbers or as bytes."""

from __future__ import annotations

import base64
import math
import struct

import httpx
import pytest
from openai_calls import EMBEDDINGS, post

from modeld.responses import EmbedResponse, Usage
from tests.support.http.fake_service import FakeService

VECTORS = ((0.5, -1.0), (0.25, 2.0))


def embed(vectors=VECTORS, /, **body) -> tuple[FakeService, httpx.Response]:
    service = FakeService()
    service.unary_response = EmbedResponse(vectors=vectors, usage=Usage(prompt_tokens=5))
    return service, post(service, EMBEDDINGS, **body)


def test_each_text_has_its_vector():
    service, response = embed(input=["a", "b"])
    assert response.json() == {
        "object": "list",
        "model": "m",
        "usage": {"prompt_tokens": 5, "total_tokens": 5},
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]},
            {"object": "embedding", "index": 1, "embedding": [0.25, 2.0]},
        ],
    }
    assert service.unary_requests[0].inputs == ("a", "b")
    assert service.unary_requests[0].normalize is True


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [([5, 6], ((5, 6),)), ([[5], [6]], ((5,), (6,))), (["a", [6]], ("a", (6,)))],
    ids=str,
)
def test_a_text_may_come_as_the_ids_of_its_tokens(given, passed_on):
    service, response = embed(VECTORS[: len(passed_on)], input=given)
    assert response.status_code == 200
    assert service.unary_requests[0].inputs == passed_on


def test_numbers_can_come_as_bytes():
    _, response = embed(VECTORS[:1], encoding_format="base64", input="a")
    (item,) = response.json()["data"]
    assert struct.unpack("<2f", base64.b64decode(item["embedding"])) == VECTORS[0]


def test_many_vectors_arrive_as_they_were():
    vectors = tuple(tuple(float(i * j) for j in range(64)) for i in range(600))
    _, response = embed(vectors, input=["a"] * 600)
    assert [tuple(each["embedding"]) for each in response.json()["data"]] == list(vectors)
    assert [each["index"] for each in response.json()["data"]] == list(range(600))


def test_a_length_is_taken_if_it_is_the_models_own():
    assert embed(input=["a", "b"], dimensions=2)[1].status_code == 200
    response = embed(input=["a", "b"], dimensions=1)[1]
    assert (response.status_code, response.json()["error"]["param"]) == (400, "dimensions")


def test_vectors_need_not_have_length_1():
    service, _ = embed(input=["a", "b"], normalize=False, timeout_s=5, keep_alive_s=0)
    assert service.unary_requests[0].normalize is False
    assert service.unary_requests[0].timeout_s == 5
    assert service.unary_requests[0].keep_alive_s == 0


@pytest.mark.parametrize("vectors", [VECTORS[:1], ((math.nan, 1.0), (1.0, 1.0))])
def test_a_response_that_cannot_be_sent_is_an_internal_error(vectors):
    response = embed(vectors, input=["a", "b"])[1]
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
