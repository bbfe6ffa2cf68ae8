# SPDX-License-Identifier: GPL-3.0-only
"""A model that is there can be pulled; what would change the models is refused with advice."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from modeld_ollama.models.library import API_VERSION
from ollama_calls import PULL, M, lines, said

from modeld.values import ModelSpec
from tests.support.http.fake_service import FakeService, ask, make_app

BROKEN = ModelSpec(id="broken", name="x", path="/x", problem="it is no GGUF file")


def request(method: str, path: str, **request: Any) -> httpx.Response:
    service = FakeService(models=[M, BROKEN])
    response = ask(make_app(service), method, path, **request)
    assert set(service.calls) <= {"start", "aclose"}
    return response


def pull(**body: Any) -> httpx.Response:
    return request("POST", PULL, json=body)


@pytest.mark.parametrize("body", [{"model": "m"}, {"name": "M:latest", "insecure": True}])
def test_a_model_that_is_there_is_pulled_at_once(body: dict[str, Any]) -> None:
    steps = [{"status": "pulling manifest"}, {"status": "success"}]
    assert lines(pull(**body)) == lines(pull(**body, stream=True)) == steps
    assert pull(**body, stream=False).json() == {"status": "success"}


def test_a_model_that_is_not_there_is_not_brought() -> None:
    missing = pull(model="llama3")
    assert missing.status_code == 404
    assert said(missing).startswith("model 'llama3' not found; nothing is downloaded by")
    assert pull(model="broken").status_code == 422
    assert pull().status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "advice"),
    [
        ("POST", "/api/create", "create is not served: models are files"),
        ("POST", "/api/copy", "copy is not served: a link"),
        ("POST", "/api/push", "push is not served: nothing is uploaded"),
        ("DELETE", "/api/delete", "delete is not served: remove its file"),
        ("POST", "/api/blobs/sha256:0b6a", "blobs is not served: put it into"),
    ],
)
def test_what_would_change_the_models_is_refused(method: str, path: str, advice: str) -> None:
    response = request(method, path, json={"model": "m"})
    assert response.status_code == 400
    assert said(response).startswith(advice)


def test_the_version_is_that_of_ollamas_api() -> None:
    assert request("GET", "/api/version").json() == {"version": API_VERSION}
    assert all(part.isdigit() for part in API_VERSION.split("."))
