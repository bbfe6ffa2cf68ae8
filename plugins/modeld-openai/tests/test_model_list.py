# SPDX-License-Identifier: GPL-3.0-only
"""The list of models, which loads none."""

from __future__ import annotations

from typing import Any

import httpx

from modeld.values import FileStamp, ModelSpec
from tests.support.http.fake_service import FakeService, ask, make_app

STAMP = FileStamp(device=1, inode=2, size_bytes=3, mtime_ns=1_700_000_000_999_999_999)
MODELS = (
    ModelSpec(id="a/b c.gguf", name="b", path="/b", stamp=STAMP, capabilities=("text",)),
    ModelSpec(id="plain", name="p", path="/p", aliases=("other",)),
    ModelSpec(id="broken", name="x", path="/x", problem="it is no GGUF file"),
)


def get(path: str) -> httpx.Response:
    service = FakeService(models=MODELS)
    response = ask(make_app(service), "GET", path)
    assert set(service.calls) <= {"start", "aclose"}
    assert not service.requests
    return response


def item(model: str, created: int, *capabilities: str) -> dict[str, Any]:
    return {
        "id": model,
        "object": "model",
        "created": created,
        "owned_by": "modeld",
        "capabilities": list(capabilities),
    }


def test_models_that_can_be_used_are_listed():
    assert get("/v1/models").json() == {
        "object": "list",
        "data": [item("a/b c.gguf", 1_700_000_000, "text"), item("plain", 0)],
    }


def test_one_model_is_shown_by_its_id_with_slashes():
    for path in ("/v1/models/a/b%20c.gguf", "/v1/models/a%2Fb%20c.gguf"):
        assert get(path).json() == item("a/b c.gguf", 1_700_000_000, "text")


def test_one_model_is_shown_by_an_alias():
    assert get("/v1/models/other").json() == item("plain", 0)


def test_what_cannot_be_shown_says_why():
    missing = get("/v1/models/none")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
    broken = get("/v1/models/broken")
    assert (broken.status_code, broken.json()["error"]["code"]) == (422, "invalid_model")
    assert "it is no GGUF file" in broken.json()["error"]["message"]
