# SPDX-License-Identifier: GPL-3.0-only
"""A client that sends the form of another wire is told the form of this one."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic_calls import MESSAGES, TURN, post

from tests.support.http.fake_service import FakeService

FUNCTION: dict[str, Any] = {"name": "f", "parameters": {"type": "object"}}
FORM = '{"name": "…", "description": "…", "input_schema": {…}}'

CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": [FUNCTION]}, "tools[0].parameters", FORM),
    ({"tools": [{"type": "function", **FUNCTION}]}, "tools[0]", FORM),
    ({"tools": [{"type": "function", "function": FUNCTION}]}, "tools[0]", FORM),
    ({"tool_choice": "auto"}, "tool_choice", '{"type": "auto"}'),
    (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        "tool_choice.function",
        '{"type": "tool", "name": "…"}',
    ),
    (
        {"messages": [TURN, {"role": "assistant", "content": "", "tool_calls": []}]},
        "messages[1].tool_calls",
        '{"type": "tool_use"',
    ),
    (
        {"messages": [TURN, {"role": "tool", "content": "5", "tool_call_id": "c"}]},
        "messages[1].tool_call_id",
        '"tool_result"',
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "messages[0].content[0]",
        "type is text or image",
    ),
    ({"stop": ["a"]}, "stop", "`stop_sequences`"),
    ({"max_completion_tokens": 5}, "max_completion_tokens", "`max_tokens`"),
    ({"response_format": {"type": "json_object"}}, "response_format", "`output_config`"),
]


@pytest.mark.parametrize(("body", "field", "advice"), CASES)
def test_the_form_is_told(body: dict[str, Any], field: str, advice: str) -> None:
    response = post(FakeService(), MESSAGES, **body)
    message = response.json()["error"]["message"]
    assert response.status_code == 400
    assert message.startswith(f"{field}: ")
    assert advice in message
