# SPDX-License-Identifier: GPL-3.0-only
"""Responses say how their request came to be served, in every dialect and form."""

from __future__ import annotations

import logging
import re
from typing import Any

import httpx
import pytest

from modeld.errors import WorkerCrashedError
from modeld.requests import EmbedRequest
from modeld.responses import Placed
from modeld.settings import Settings
from modeld.status import PlanOutcome
from modeld.testing.doubles.scripted import sound_response
from tests.support.http.fake_service import FakeService, ask, make_app

PLACED = Placed(
    placement=PlanOutcome.EVICTS, queue_wait_s=1.25, load_s=0.5, fit="context", host="h1"
)
CHAT = {"messages": [{"role": "user", "content": "hi"}]}
ROUTES: list[tuple[str, dict[str, Any]]] = [
    ("/infer", {"prompt": "hi"}),
    ("/infer", {"prompt": "hi", "stream": False}),
    ("/v1/chat/completions", CHAT),
    ("/v1/chat/completions", {**CHAT, "stream": True}),
    ("/v1/chat/completions", {**CHAT, "n": 2}),
    ("/v1/completions", {"prompt": "hi", "stream": True, "n": 2}),
    ("/v1/responses", {"input": "hi"}),
    ("/v1/messages", {**CHAT, "max_tokens": 9}),
    ("/v1/messages", {**CHAT, "max_tokens": 9, "stream": True}),
    ("/api/chat", CHAT),
    ("/api/generate", {"prompt": "hi", "stream": False}),
    ("/embed", {"input": "hi"}),
    ("/v1/embeddings", {"input": "hi"}),
    ("/api/embed", {"input": "hi"}),
]

NUMBERS = re.compile("[0-9a-f]{24,}|[0-9]+")
"""What differs between two responses: ids and times."""


def asked(service: FakeService, path: str, body: dict[str, Any]) -> httpx.Response:
    service.unary_response = sound_response(EmbedRequest(inputs=("hi",)))
    return ask(make_app(service, Settings(default_model="m")), "POST", path, json=body)


def told(response: httpx.Response) -> dict[str, str]:
    """Return the headers that tell it; those of errors have another name."""
    names = [name for name in response.headers if name.startswith("x-modeld-")]
    return {name.removeprefix("x-modeld-"): response.headers[name] for name in names}


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_each_good_response_says_how_it_came_about(path: str, body: dict[str, Any]) -> None:
    service = FakeService()
    service.placed = PLACED
    response = asked(service, path, body)
    assert response.status_code == 200, response.text
    assert told(response) == {
        "placement": "evicts",
        "queue-wait-s": "1.250",
        "load-s": "0.500",
        "fit": "context",
        "host": "h1",
    }


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_the_body_is_the_same_whether_the_service_tells_it_or_not(
    path: str, body: dict[str, Any]
) -> None:
    telling, silent = FakeService(), FakeService()
    telling.placed = PLACED
    first, second = asked(telling, path, body), asked(silent, path, body)
    assert told(second) == {}
    assert NUMBERS.sub("0", first.text) == NUMBERS.sub("0", second.text)


@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_each_request_may_forbid_that_its_model_is_made_to_fit(
    path: str, body: dict[str, Any]
) -> None:
    service = FakeService()
    for given, reaches in (({}, True), ({"fit": False}, False), ({"fit": True}, True)):
        assert asked(service, path, body | given).status_code == 200
        assert [*service.requests, *service.unary_requests][-1].fit is reaches


def test_a_model_that_is_as_configured_has_no_step() -> None:
    service = FakeService()
    service.placed = Placed(placement=PlanOutcome.RESIDENT, queue_wait_s=0.0)
    response = asked(service, "/infer", {"prompt": "hi"})
    assert told(response) == {"placement": "resident", "queue-wait-s": "0.000", "load-s": "0.000"}


def test_an_error_says_its_reason_and_not_how_well_it_began() -> None:
    service = FakeService(WorkerCrashedError("gone"))
    service.placed = PLACED
    response = asked(service, "/infer", {"prompt": "hi"})
    assert response.status_code == 503
    assert told(response) == {"reason": "worker_crashed"}


def test_of_several_generations_the_first_tells_it() -> None:
    service = FakeService()
    service.placed = PLACED
    response = asked(service, "/v1/completions", {"prompt": "hi", "n": 3})
    assert response.headers.get_list("x-modeld-placement") == ["evicts"]


@pytest.mark.parametrize(("outcome", "word"), [("evicts", " evicts "), ("resident", "")])
def test_the_access_line_tells_what_was_not_simply_there(
    outcome: str, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "modeld.access")
    service = FakeService()
    service.placed = Placed(placement=PlanOutcome(outcome), queue_wait_s=0.0)
    asked(service, "/infer", {"prompt": "hi"})
    (line,) = [record.getMessage() for record in caplog.records if record.name == "modeld.access"]
    assert word in line
    assert ("resident" in line) is False
