# SPDX-License-Identifier: GPL-3.0-only
"""How errors look under /v1, whoever has raised them."""

from __future__ import annotations

import httpx
import pytest
from modeld_openai.errors import error_document, named
from openai_calls import CHAT, TURN, post

from modeld.errors import (
    LoadFailedError,
    ModelExceedsBudgetError,
    ModelNotFoundError,
    NotSupportedError,
    PromptTooLongError,
    QueueFullError,
    RequestTimeoutError,
)
from modeld.settings import Settings
from tests.support.http.fake_service import FakeService, ask, make_app

KEY = "a-key-of-some-length"


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ModelNotFoundError("no model", field="model"), 404, "invalid_request_error"),
        (NotSupportedError("tools: no", field="tools"), 400, "invalid_request_error"),
        (QueueFullError("full", retry_after_s=1.2), 429, "rate_limit_error"),
        (LoadFailedError("no"), 503, "server_error"),
        (RequestTimeoutError("late", field="timeout_s"), 504, "server_error"),
        (ModelExceedsBudgetError("too large"), 507, "server_error"),
    ],
    ids=lambda value: getattr(value, "code", value),
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_has_the_status_and_the_type_that_clients_go_by(error, status, kind, stream):
    response = post(FakeService(error), CHAT, stream=stream)
    assert response.status_code == status
    assert response.json() == {
        "error": {
            "message": error.message,
            "type": kind,
            "param": error.field,
            "code": error.code,
        }
    }


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_is_too_long_has_the_code_and_the_words_that_clients_look_for(stream):
    error = PromptTooLongError("9 tokens are more than 8", field="prompt")
    response = post(FakeService(error), CHAT, stream=stream)
    assert response.status_code == 400
    assert response.json()["error"] == {
        "message": "the prompt is too long: 9 tokens are more than 8",
        "type": "invalid_request_error",
        "param": "prompt",
        "code": "context_length_exceeded",
    }


def test_clients_are_told_when_to_try_again_and_when_not_to():
    full = post(FakeService(QueueFullError("full", retry_after_s=1.2)), CHAT)
    assert full.headers["retry-after"] == "2"
    assert "x-should-retry" not in full.headers
    never = post(FakeService(ModelExceedsBudgetError("too large")), CHAT)
    assert never.headers["x-should-retry"] == "false"
    assert "x-should-retry" not in post(FakeService(ModelNotFoundError("no")), CHAT).headers


def refused(method: str, path: str, settings: Settings | None = None, **request) -> httpx.Response:
    return ask(make_app(FakeService(), settings), method, path, **request)


def test_what_no_route_takes_looks_the_same():
    for method, path, status, code in (
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
        ("DELETE", CHAT, 405, "method_not_allowed"),
    ):
        response = refused(method, path)
        assert response.status_code == status
        assert response.json()["error"]["code"] == code
        assert response.json()["error"]["type"] == "invalid_request_error"
    assert "error" in refused("GET", "/v10").json()
    assert isinstance(refused("GET", "/v10").json()["error"], str)  # the native way


def test_what_is_wrong_with_a_body_looks_the_same():
    for content, media_type, status in (
        (b"{", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b'{"a":"' + b"x" * 2_000_000 + b'"}', "application/json", 413),
    ):
        headers = {"Content-Type": media_type}
        settings = Settings(max_body_bytes=1_000_000)
        response = refused("POST", CHAT, settings, content=content, headers=headers)
        assert response.status_code == status
        assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_request_without_a_key_looks_the_same(tmp_path):
    (tmp_path / "keys").write_text(f"{KEY}\n")
    settings = Settings(api_key_file=str(tmp_path / "keys"))
    response = refused("POST", "/chat/completions", settings, json={"messages": [TURN]})
    assert response.status_code == 401
    assert response.json()["error"]["type"] == "authentication_error"
    headers = {"Authorization": f"Bearer {KEY}"}
    known = refused("POST", CHAT, settings, json={"messages": [TURN]}, headers=headers)
    assert known.status_code == 200


def test_members_are_called_what_this_wire_calls_them():
    assert named("json_schema") == "response_format"
    assert named("template_kwargs.a") == "chat_template_kwargs.a"
    assert named("tools[2].name") == "tools[2].function.name"
    assert named("messages[0].tool_calls[1].name") == "messages[0].tool_calls[1].function.name"
    assert named("tools[2].function.name") == "tools[2].function.name"
    assert named("messages[0].tool_calls[1].id") == "messages[0].tool_calls[1].id"
    assert named("messages[0].content[1]") == "messages[0].content[1]"
    error = NotSupportedError("reasoning: not here", field="reasoning")
    assert error_document(error, 400)["error"]["message"] == "reasoning_effort: not here"
