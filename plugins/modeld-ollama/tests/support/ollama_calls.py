# SPDX-License-Identifier: GPL-3.0-only
"""Requests to Ollama's routes around a service of a plugin, and their responses."""

from __future__ import annotations

import json
from typing import Any

import httpx

from modeld.settings import Settings
from modeld.values import ModelSpec
from tests.support.http.fake_service import FakeService, ask, make_app

CHAT = "/api/chat"
GENERATE = "/api/generate"
EMBED = "/api/embed"
EMBEDDINGS = "/api/embeddings"
SHOW = "/api/show"
PULL = "/api/pull"
TURN = {"role": "user", "content": "hi"}
REQUEST_ID = "r-1"

VALID: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [TURN]},
    GENERATE: {"prompt": "hi"},
    EMBED: {"input": "hi"},
    EMBEDDINGS: {"prompt": "hi"},
    SHOW: {"model": "m"},
    PULL: {"model": "m"},
}
"""The shortest body with which each route does what it is for."""

M = ModelSpec(
    id="m",
    name="m",
    path="/m",
    capabilities=("chat", "reasoning", "text", "vision"),
    context=4096,
)


def post(service: FakeService, path: str, /, **body: Any) -> httpx.Response:
    app = make_app(service, Settings(default_model="m"))
    headers = {"X-Request-Id": REQUEST_ID}
    return ask(app, "POST", path, json={**VALID[path], **body}, headers=headers)


def lines(response: httpx.Response) -> list[Any]:
    """Return the objects of a stream, of which each is a line for every reader."""
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.text.endswith("\n")
    return [json.loads(line) for line in response.text.splitlines()]


def said(response: httpx.Response) -> str:
    """Return what an error says."""
    document = response.json()
    assert set(document) == {"error"}
    return str(document["error"])
