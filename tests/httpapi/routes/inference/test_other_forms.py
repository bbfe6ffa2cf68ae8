# SPDX-License-Identifier: GPL-3.0-only
"""A client that sends the form of another wire to the native one is told the native form."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.http.fake_service import FakeService, ask, make_app

TURN = {"role": "user", "content": "hi"}
FUNCTION: dict[str, Any] = {"name": "f", "parameters": {"type": "object"}}
FORM = '{"name": "…", "description": "…", "parameters": {…}}'

CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": [{"type": "function", "function": FUNCTION}]}, "tools[0].type", FORM),
    ({"tools": [{"type": "function", **FUNCTION}]}, "tools[0].type", FORM),
    ({"tools": [{"name": "f", "input_schema": {}}]}, "tools[0].input_schema", FORM),
    (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        "tool_choice.type",
        '{"mode": "required", "names": ["…"]}',
    ),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]}]},
        "messages[0].tool_calls[0].function",
        '{"id": "…", "name": "…", "arguments": "…"}',
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "messages[0].content[0].type",
        "there is text, image, audio",
    ),
    ({"messages": [{**TURN, "thinking": "a"}]}, "messages[0].thinking", "`reasoning`"),
    ({"max_completion_tokens": 5}, "max_completion_tokens", "`max_tokens`"),
    ({"response_format": {"type": "json_object"}}, "response_format", "`json_schema`"),
]


@pytest.mark.parametrize(("body", "field", "advice"), CASES)
def test_the_form_is_told(body: dict[str, Any], field: str, advice: str) -> None:
    app = make_app(FakeService())
    response = ask(app, "POST", "/infer", json={"messages": [TURN], **body})
    error = response.json()
    assert (response.status_code, error["field"]) == (400, field)
    assert error["error"].startswith(f"{field}: ")
    assert advice in error["error"]
