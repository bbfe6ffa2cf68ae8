# SPDX-License-Identifier: GPL-3.0-only
"""How errors look under /v1/messages, whoever has raised them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from anthropic_calls import COUNT, MESSAGES, REQUEST_ID, TURN, post
from modeld_anthropic.errors import error_document, named

from modeld.errors import (
    BudgetExceededError,
    DrainingError,
    LoadFailedError,
    ModeldError,
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
BODY = {"messages": [TURN], "max_tokens": 1}


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ModelNotFoundError("no model", field="model"), 404, "not_found_error"),
        (NotSupportedError("tools: no", field="tools"), 400, "invalid_request_error"),
        (QueueFullError("full", retry_after_s=1.2), 429, "rate_limit_error"),
        (DrainingError("draining"), 529, "overloaded_error"),
        (BudgetExceededError("no room"), 529, "overloaded_error"),
        (LoadFailedError("no"), 500, "api_error"),
        (RequestTimeoutError("late", field="timeout_s"), 504, "timeout_error"),
        (ModelExceedsBudgetError("too large"), 500, "api_error"),
    ],
    ids=lambda value: getattr(value, "code", value),
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_has_the_status_and_the_type_that_clients_go_by(
    error: ModeldError, status: int, kind: str, stream: bool
) -> None:
    response = post(FakeService(error), MESSAGES, stream=stream)
    assert response.status_code == status
    assert response.headers["request-id"] == REQUEST_ID
    assert response.json() == {
        "type": "error",
        "error": {"type": kind, "message": error.message, "details": {"error_code": error.code}},
        "request_id": REQUEST_ID,
    }


def test_a_prompt_that_is_too_long_is_told_in_the_words_that_clients_look_for() -> None:
    response = post(FakeService(PromptTooLongError("9 of 8 tokens", field="messages")), MESSAGES)
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "prompt is too long: 9 of 8 tokens"


def test_clients_are_told_when_to_try_again_and_when_not_to() -> None:
    full = post(FakeService(QueueFullError("full", retry_after_s=1.2)), MESSAGES)
    assert full.headers["retry-after"] == "2"
    assert "x-should-retry" not in full.headers
    never = post(FakeService(ModelExceedsBudgetError("too large")), MESSAGES)
    assert never.headers["x-should-retry"] == "false"
    assert "x-should-retry" not in post(FakeService(ModelNotFoundError("no")), MESSAGES).headers


def refused(
    method: str, path: str, settings: Settings | None = None, **sent: Any
) -> httpx.Response:
    return ask(make_app(FakeService(), settings), method, path, **sent)


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("POST", "/v1/messages/batches", 404, "not_found_error"),
        ("GET", MESSAGES, 405, "invalid_request_error"),
        ("GET", COUNT, 405, "invalid_request_error"),
        ("POST", f"{MESSAGES}?betta=true", 400, "invalid_request_error"),
    ],
)
def test_what_no_route_takes_looks_the_same(method: str, path: str, status: int, kind: str) -> None:
    response = refused(method, path)
    assert response.status_code == status
    assert response.json()["type"] == "error"
    assert response.json()["error"]["type"] == kind


def test_the_addresses_around_it_keep_their_form() -> None:
    for path in ("/v1/nothing", "/v1/messages2"):
        assert "type" not in refused("GET", path).json()


@pytest.mark.parametrize(
    ("content", "media_type", "status", "kind"),
    [
        (b"{", "application/json", 400, "invalid_request_error"),
        (b"{}", "text/plain", 415, "invalid_request_error"),
        (b'{"a":"' + b"x" * 2_000_000 + b'"}', "application/json", 413, "request_too_large"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_body_looks_the_same(
    content: bytes, media_type: str, status: int, kind: str
) -> None:
    settings = Settings(max_body_bytes=1_000_000)
    headers = {"Content-Type": media_type}
    response = refused("POST", MESSAGES, settings, content=content, headers=headers)
    assert (response.status_code, response.json()["error"]["type"]) == (status, kind)


def test_a_request_without_a_key_looks_the_same_and_either_header_brings_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "keys").write_text(f"{KEY}\n")
    settings = Settings(api_key_file=str(tmp_path / "keys"))
    response = refused("POST", MESSAGES, settings, json=BODY)
    assert response.status_code == 401
    assert response.json()["error"]["type"] == "authentication_error"
    for headers in (
        {"x-api-key": KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"x-api-key": "of-another-server", "Authorization": f"Bearer {KEY}"},
    ):
        assert refused("POST", MESSAGES, settings, json=BODY, headers=headers).status_code == 200


def test_the_headers_and_the_query_that_clients_send_are_taken() -> None:
    headers = {
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14",
        "x-stainless-lang": "js",
    }
    path = f"{MESSAGES}?beta=true"
    for version in ("2023-06-01", "2026-10-21"):
        headers["anthropic-version"] = version
        assert refused("POST", path, json=BODY, headers=headers).status_code == 200
    old = refused("POST", path, json=BODY, headers={"anthropic-version": "2023-01-01"})
    assert old.status_code == 400
    assert old.json()["error"]["message"].startswith("anthropic-version: must be one of")


def test_members_are_called_what_this_wire_calls_them() -> None:
    assert named("json_schema") == "output_config.format"
    assert named("template_kwargs.a") == "chat_template_kwargs.a"
    assert named("tools[2].parameters.a") == "tools[2].input_schema.a"
    assert named("tools[2].name") == "tools[2].name"
    assert named("stop[1]") == "stop_sequences[1]"
    error = NotSupportedError("reasoning: not here", field="reasoning")
    assert error_document(error, 400, "r")["error"]["message"] == "thinking: not here"  # type: ignore[index]


def test_a_message_is_not_named_by_a_number_that_the_client_does_not_count() -> None:
    error = NotSupportedError("messages[3].content[0]: no", field="messages[3].content[0]")
    said = post(FakeService(error), MESSAGES).json()["error"]["message"]
    assert said == "messages: no"
