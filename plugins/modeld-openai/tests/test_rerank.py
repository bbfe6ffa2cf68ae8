# SPDX-License-Identifier: GPL-3.0-only
"""Documents come in the order of how relevant they are."""

from __future__ import annotations

import asyncio
import math

import httpx
import pytest
from modeld_openai.rerank import RerankDocumentsBody
from openai_calls import RERANK, post
from wrong_fields import COMMON, NO_BOOL, NO_TEXT, NO_WHOLE, said_of

from modeld.responses import RerankResponse, Usage
from tests.support.http.fake_service import FakeService

SCORES = (0.5, 2.0, -1.0, 0.5)
WRONG = {
    "model": COMMON["model"],
    "timeout_s": COMMON["timeout_s"],
    "keep_alive_s": COMMON["keep_alive_s"],
    "fit": COMMON["fit"],
    "query": (None, *NO_TEXT, ""),
    "documents": (None, 5, "a", {}, [], ["a"] * 1025),
    "top_n": (*NO_WHOLE, 0, 1025),
    "return_documents": NO_BOOL,
    "user": NO_TEXT,
}


def rank(scores=SCORES, /, **body) -> httpx.Response:
    service = FakeService()
    service.unary_response = RerankResponse(scores=scores, usage=Usage(prompt_tokens=9))
    return post(service, RERANK, documents=["a", "b", "c", "d"], **body)


def test_documents_come_best_first_and_equals_in_their_order():
    assert rank(return_documents=True).json() == {
        "object": "list",
        "model": "m",
        "results": [
            {"index": 1, "relevance_score": 2.0, "document": {"text": "b"}},
            {"index": 0, "relevance_score": 0.5, "document": {"text": "a"}},
            {"index": 3, "relevance_score": 0.5, "document": {"text": "d"}},
            {"index": 2, "relevance_score": -1.0, "document": {"text": "c"}},
        ],
        "usage": {"prompt_tokens": 9, "total_tokens": 9},
    }


def test_only_the_best_are_sent_where_that_is_wanted():
    assert rank(top_n=1).json()["results"] == [{"index": 1, "relevance_score": 2.0}]


@pytest.mark.parametrize("scores", [SCORES[:3], (math.nan, 1.0, 1.0, 1.0)])
def test_a_response_that_cannot_be_sent_is_an_internal_error(scores):
    assert rank(scores).json()["error"]["code"] == "internal_error"


def test_what_is_wrong_is_refused_by_its_name():
    assert set(RerankDocumentsBody.model_fields) == set(WRONG)
    cases = [({name: value}, name) for name, values in WRONG.items() for value in values]
    cases += [({"documents": ["a", ""]}, "documents[1]")]
    found = asyncio.run(said_of(RERANK, [body for body, _ in cases]))
    assert found == [(400, name) for _, name in cases]
