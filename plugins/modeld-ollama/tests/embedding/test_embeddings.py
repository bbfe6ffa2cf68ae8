# SPDX-License-Identifier: GPL-3.0-only
"""Texts become vectors, in both forms."""

from __future__ import annotations

import math

import httpx
import pytest
from ollama_calls import EMBED, EMBEDDINGS, M, post, said

from modeld.responses import EmbedResponse, Usage
from tests.support.http.fake_service import FakeService

VECTORS = ((0.5, -1.0), (0.25, 2.0))


def embed(vectors=VECTORS, path: str = EMBED, /, **body) -> tuple[FakeService, httpx.Response]:
    service = FakeService(models=[M])
    service.unary_response = EmbedResponse(
        vectors=vectors, usage=Usage(prompt_tokens=5, load_s=0.5)
    )
    return service, post(service, path, model="M", **body)


def test_each_text_has_its_vector():
    service, response = embed(input=["a", "b"], truncate=False, dimensions=0, timeout_s=5)
    document = response.json()
    assert document.pop("total_duration") > 0
    assert document == {
        "model": "M",
        "load_duration": 500_000_000,
        "prompt_eval_count": 5,
        "embeddings": [[0.5, -1.0], [0.25, 2.0]],
    }
    (request,) = service.unary_requests
    assert (request.model, request.inputs, request.timeout_s) == ("m", ("a", "b"), 5)
    assert request.normalize is True


def test_the_older_form_has_one_vector_as_the_model_made_it():
    service, response = embed(VECTORS[:1], EMBEDDINGS, prompt="a")
    assert response.json() == {"embedding": [0.5, -1.0]}
    (request,) = service.unary_requests
    assert (request.inputs, request.normalize) == (("a",), False)


@pytest.mark.parametrize(
    ("path", "body", "empty"),
    [
        (EMBED, {"input": []}, {"model": "M", "embeddings": []}),
        (EMBED, {"input": None}, {"model": "M", "embeddings": []}),
        (EMBEDDINGS, {"prompt": ""}, {"embedding": []}),
    ],
)
def test_without_a_text_the_model_is_loaded(path, body, empty):
    service, response = embed(VECTORS, path, keep_alive=5, **body)
    assert response.json() == empty
    assert service.calls[1] == "load m for 5.0"
    assert not service.unary_requests


def test_many_vectors_arrive_as_they_were():
    vectors = tuple(tuple(float(i * j) for j in range(64)) for i in range(600))
    _, response = embed(vectors, input=["a"] * 600)
    assert [tuple(each) for each in response.json()["embeddings"]] == list(vectors)


def test_a_length_is_taken_if_it_is_the_models_own():
    assert embed(input=["a", "b"], dimensions=2)[1].status_code == 200
    response = embed(input=["a", "b"], dimensions=1)[1]
    assert (response.status_code, said(response)[:11]) == (400, "dimensions:")


@pytest.mark.parametrize("vectors", [VECTORS[:1], ((math.nan, 1.0), (1.0, 1.0))])
def test_a_response_that_cannot_be_sent_is_an_internal_error(vectors):
    assert embed(vectors, input=["a", "b"])[1].status_code == 500
    assert embed((*vectors, *vectors), EMBEDDINGS, prompt="a")[1].status_code == 500
