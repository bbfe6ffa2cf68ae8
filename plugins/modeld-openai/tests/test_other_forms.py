# SPDX-License-Identifier: GPL-3.0-only
"""A client that sends the form of another wire is told the form of this one."""

from __future__ import annotations

from typing import Any

import pytest
from openai_calls import CHAT, COMPLETIONS, RESPONSES, TURN, post

from tests.support.http.fake_service import FakeService

SCHEMA: dict[str, Any] = {"type": "object"}
FUNCTION = {"name": "f", "parameters": SCHEMA}
NESTED = {"type": "function", "function": FUNCTION}
FLAT = {"type": "function", **FUNCTION}
ANTHROPIC = {"name": "f", "input_schema": SCHEMA}

IN_FUNCTION = '{"type": "function", "function": {"name": "…"'
IN_TOOL = '{"type": "function", "name": "…"'

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    *((CHAT, {"tools": [t]}, "tools[0].name", IN_FUNCTION) for t in (FUNCTION, FLAT, ANTHROPIC)),
    (
        CHAT,
        {"tools": [{"type": "function", "function": ANTHROPIC}]},
        "tools[0].function.input_schema",
        "`parameters`",
    ),
    (CHAT, {"tool_choice": {"type": "function", "name": "f"}}, "tool_choice.name", IN_FUNCTION),
    (CHAT, {"tool_choice": {"type": "any"}}, "tool_choice.type", "`required`"),
    (CHAT, {"tool_choice": {"mode": "required"}}, "tool_choice.mode", IN_FUNCTION),
    (
        CHAT,
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
        "tool_choice.mode",
        '"allowed_tools": {"mode"',
    ),
    (
        CHAT,
        {"response_format": {"type": "json_schema", "name": "a", "schema": SCHEMA}},
        "response_format.name",
        '"json_schema": {"name"',
    ),
    (
        CHAT,
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "name": "f"}]}]},
        "messages[0].tool_calls[0].name",
        '{"id": "…", "type": "function", "function": {"name": "…"',
    ),
    (
        CHAT,
        {"messages": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]},
        "messages[0].content[0].type",
        "there is text, image_url, input_audio",
    ),
    (CHAT, {"input": "hi"}, "input", "`messages`"),
    (CHAT, {"max_output_tokens": 5}, "max_output_tokens", "`max_completion_tokens`"),
    (COMPLETIONS, {"messages": [TURN]}, "messages", "/v1/chat/completions"),
    (RESPONSES, {"tools": [NESTED]}, "tools[0].function", IN_TOOL),
    (RESPONSES, {"tools": [ANTHROPIC]}, "tools[0].input_schema", IN_TOOL),
    (
        RESPONSES,
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        "tool_choice.function",
        IN_TOOL,
    ),
    (RESPONSES, {"tool_choice": {"type": "any"}}, "tool_choice.type", "`required`"),
    (
        RESPONSES,
        {"text": {"format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}},
        "text.format.json_schema",
        '"schema": {…}',
    ),
    (RESPONSES, {"messages": [TURN]}, "messages", "`input`"),
    (RESPONSES, {"max_tokens": 5}, "max_tokens", "`max_output_tokens`"),
    (RESPONSES, {"response_format": {"type": "text"}}, "response_format", '`text`: {"format"'),
    (
        RESPONSES,
        {"input": [{"role": "assistant", "content": "", "tool_calls": []}]},
        "input[0].tool_calls",
        '{"type": "function_call"',
    ),
    (
        RESPONSES,
        {"input": [{"role": "tool", "content": "5", "tool_call_id": "c"}]},
        "input[0].tool_call_id",
        '{"type": "function_call_output"',
    ),
    (
        RESPONSES,
        {"input": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        "input[0].content[0].type",
        "there is input_text",
    ),
]


@pytest.mark.parametrize(("path", "body", "field", "advice"), CASES)
def test_the_form_is_told(path: str, body: dict[str, Any], field: str, advice: str) -> None:
    response = post(FakeService(), path, **body)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, field)
    assert error["message"].startswith(f"{field}: ")
    assert advice in error["message"]
