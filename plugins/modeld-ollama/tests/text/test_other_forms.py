# SPDX-License-Identifier: GPL-3.0-only
"""A client that sends the form of another wire is told the form of this one."""

from __future__ import annotations

from typing import Any

import pytest
from ollama_calls import CHAT, GENERATE, TURN, M, post, said

from tests.support.http.fake_service import FakeService

FUNCTION: dict[str, Any] = {"name": "f", "parameters": {"type": "object"}}
FORM = '{"type": "function", "function": {"name": "…"'

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    (CHAT, {"tools": [FUNCTION]}, "tools[0].name", FORM),
    (CHAT, {"tools": [{"type": "function", **FUNCTION}]}, "tools[0].name", FORM),
    (CHAT, {"tools": [{"name": "f", "input_schema": {}}]}, "tools[0].name", FORM),
    (CHAT, {"tool_choice": "auto"}, "tool_choice", "the model chooses"),
    (
        CHAT,
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "name": "f"}]}]},
        "messages[0].tool_calls[0].name",
        '{"function": {"name"',
    ),
    (
        CHAT,
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        "messages[0].content",
        "`images`",
    ),
    (CHAT, {"messages": [{**TURN, "reasoning": "a"}]}, "messages[0].reasoning", "`thinking`"),
    (CHAT, {"temperature": 0}, "temperature", "`options`"),
    (CHAT, {"max_tokens": 5}, "max_tokens", "num_predict"),
    (CHAT, {"response_format": {"type": "json_object"}}, "response_format", "`format`"),
    (CHAT, {"prompt": "hi"}, "prompt", "/api/generate"),
    (GENERATE, {"messages": [TURN]}, "messages", "/api/chat"),
]


@pytest.mark.parametrize(("path", "body", "field", "advice"), CASES)
def test_the_form_is_told(path: str, body: dict[str, Any], field: str, advice: str) -> None:
    response = post(FakeService(models=[M]), path, **body)
    assert response.status_code == 400
    assert said(response).startswith(f"{field}: ")
    assert advice in said(response)
