# SPDX-License-Identifier: GPL-3.0-only
"""Requests to OpenAI's routes around a service of a plugin, and their responses."""

from __future__ import annotations

import json
from typing import Any

import httpx

from modeld.settings import Settings
from tests.support.http.fake_service import FakeService, ask, make_app

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
EMBEDDINGS = "/v1/embeddings"
RERANK = "/v1/rerank"
RESPONSES = "/v1/responses"
TOKENIZE = "/v1/tokenize"
DETOKENIZE = "/v1/detokenize"
TURN = {"role": "user", "content": "hi"}
REQUEST_ID = "r-1"

VALID: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [TURN]},
    COMPLETIONS: {"prompt": "hi"},
    EMBEDDINGS: {"input": "hi"},
    RERANK: {"query": "q", "documents": ["a"]},
    RESPONSES: {"input": "hi"},
    TOKENIZE: {"prompt": "hi"},
    DETOKENIZE: {"tokens": [1]},
}
"""The shortest body that each route takes."""


def post(service: FakeService, path: str, /, **body: Any) -> httpx.Response:
    app = make_app(service, Settings(default_model="m"))
    headers = {"X-Request-Id": REQUEST_ID}
    return ask(app, "POST", path, json={**VALID[path], **body}, headers=headers)


def events(response: httpx.Response) -> list[Any]:
    """Return the data of all events; the last one is the word that ends a stream."""
    *parts, end = response.text.split("\n\n")
    assert end == ""
    assert all(part.startswith("data: ") and "\n" not in part for part in parts)
    data = [part.removeprefix("data: ") for part in parts]
    return [each if each == "[DONE]" else json.loads(each) for each in data]
