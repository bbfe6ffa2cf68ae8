# SPDX-License-Identifier: GPL-3.0-only
"""Requests to Anthropic's routes around a service of a plugin, and their responses."""

from __future__ import annotations

import json
from typing import Any

import httpx

from modeld.settings import Settings
from tests.support.http.fake_service import FakeService, ask, make_app

MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
TURN = {"role": "user", "content": "hi"}
REQUEST_ID = "r-1"

VALID: dict[str, dict[str, Any]] = {
    MESSAGES: {"messages": [TURN], "max_tokens": 9},
    COUNT: {"messages": [TURN]},
}
"""The shortest body that each route takes."""


def post(service: FakeService, path: str, /, **body: Any) -> httpx.Response:
    app = make_app(service, Settings(default_model="m"))
    headers = {"X-Request-Id": REQUEST_ID}
    return ask(app, "POST", path, json={**VALID[path], **body}, headers=headers)


def events(response: httpx.Response) -> list[dict[str, Any]]:
    """Return the data of all events, each of which is named as its type."""
    *parts, end = response.text.split("\n\n")
    assert end == ""
    found = []
    for part in parts:
        name, data = part.split("\n")
        assert data.startswith("data: ")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found
