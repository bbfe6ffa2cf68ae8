# SPDX-License-Identifier: GPL-3.0-only
"""An id with slashes names its model in every API."""

from __future__ import annotations

from typing import Any, Final

import pytest

from modeld.values import ModelSpec
from tests.support.http.fake_service import FakeService, ask, make_app

MODEL: Final = "org/na me/a.gguf"
TURNS: Final = [{"role": "user", "content": "hi"}]
GENERATIONS: Final[dict[str, dict[str, Any]]] = {
    "/infer": {"prompt": "hi"},
    "/v1/chat/completions": {"messages": TURNS},
    "/v1/completions": {"prompt": "hi"},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"messages": TURNS, "max_tokens": 3},
    "/api/chat": {"messages": TURNS},
    "/api/generate": {"prompt": "hi"},
}


@pytest.mark.parametrize("path", GENERATIONS)
def test_a_body_names_it_as_it_is(path: str) -> None:
    service = FakeService(models=[ModelSpec(id=MODEL, name="m", path="/m")])
    body = {"model": MODEL, **GENERATIONS[path]}
    assert ask(make_app(service), "POST", path, json=body).status_code == 200
    assert [request.model for request in service.requests] == [MODEL]


@pytest.mark.parametrize("asked", ["org/na%20me/a.gguf", "org%2Fna%20me%2Fa.gguf"])
@pytest.mark.parametrize("path", ["/v1/models/{}", "/readyz?model={}"])
def test_an_address_names_it_encoded_or_not(path: str, asked: str) -> None:
    service = FakeService(models=[ModelSpec(id=MODEL, name="m", path="/m")])
    assert ask(make_app(service), "GET", path.format(asked)).status_code == 200
