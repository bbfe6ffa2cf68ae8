# SPDX-License-Identifier: GPL-3.0-only
"""How errors look under /api, whoever has raised them."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from modeld_ollama.errors import message, named
from ollama_calls import CHAT, GENERATE, TURN, M, post, said

from modeld import create_app
from modeld.errors import (
    InvalidRequestError,
    LoadFailedError,
    ModelExceedsBudgetError,
    ModelNotFoundError,
    NotSupportedError,
    PromptTooLongError,
    QueueFullError,
    RequestTimeoutError,
    TemplateError,
)
from modeld.settings import Settings
from tests.support.http.fake_service import FakeService, ask, make_app

KEY = "a-key-of-some-length"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ModelNotFoundError("no model", field="model"), 404),
        (NotSupportedError("tools: no", field="tools"), 400),
        (PromptTooLongError("too long", field="prompt"), 422),
        (QueueFullError("full", retry_after_s=1.2), 429),
        (LoadFailedError("no"), 503),
        (RequestTimeoutError("late", field="timeout_s"), 504),
        (ModelExceedsBudgetError("too large"), 507),
    ],
    ids=lambda value: getattr(value, "code", value),
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_has_its_real_status(error, status, stream):
    response = post(FakeService(error, models=[M]), CHAT, stream=stream)
    assert (response.status_code, response.json()) == (status, {"error": error.message})
    assert response.headers.get("retry-after") == ("2" if error.retry_after_s else None)


def test_an_unknown_model_is_told_in_ollamas_words(tmp_path: Path):
    for path, body in (
        (CHAT, {"messages": [TURN]}),
        (GENERATE, {"prompt": "hi"}),
        (CHAT, {}),
        (CHAT, {"keep_alive": 0}),
        ("/api/show", {}),
    ):
        app = create_app(Settings(models_dir=str(tmp_path)))
        response = ask(app, "POST", path, json={"model": "llama3:8b", **body})
        assert response.status_code == 404
        assert said(response) == "model 'llama3:8b' not found"
    error = ModelNotFoundError("there is no model 'a'; did you mean 'b'?", field="model")
    assert message(error, frozenset()) == "model 'a' not found; did you mean 'b'?"


def refused(method: str, path: str, settings: Settings | None = None, **request) -> httpx.Response:
    return ask(make_app(FakeService(), settings), method, path, **request)


def test_what_no_route_takes_looks_the_same():
    for method, path, status in (
        ("GET", "/api/nothing", 404),
        ("GET", "/api", 404),
        ("DELETE", CHAT, 405),
    ):
        response = refused(method, path)
        assert response.status_code == status
        assert said(response)
    assert set(refused("GET", "/apis").json()) == {"error", "code", "reason"}  # the native way


def test_what_is_wrong_with_a_body_looks_the_same():
    for content, media_type, status in (
        (b"{", "application/json", 400),
        (b"{}", "application/x-www-form-urlencoded", 415),
        (b'{"a":"' + b"x" * 2_000_000 + b'"}', "application/json", 413),
    ):
        headers = {"Content-Type": media_type}
        settings = Settings(max_body_bytes=1_000_000)
        response = refused("POST", CHAT, settings, content=content, headers=headers)
        assert response.status_code == status
        assert said(response)


def test_a_request_without_a_key_looks_the_same(tmp_path: Path):
    (tmp_path / "keys").write_text(f"{KEY}\n")
    settings = Settings(api_key_file=str(tmp_path / "keys"))
    response = refused("GET", "/api/tags", settings)
    assert response.status_code == 401
    assert said(response)
    headers = {"Authorization": f"Bearer {KEY}"}
    assert refused("GET", "/api/tags", settings, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("json_schema", "format"),
        ("reasoning", "think"),
        ("keep_alive_s", "keep_alive"),
        ("max_tokens", "options.num_predict"),
        ("stop[1]", "options.stop[1]"),
        ("temperature", "options.temperature"),
        ("typical_p", "options.typical_p"),
        ("dry_sequence_breakers[2]", "options.dry_sequence_breakers[2]"),
        ("inputs[1]", "input[1]"),
        ("tools[2].name", "tools[2].function.name"),
        ("messages[0].tool_calls[1].arguments", "messages[0].tool_calls[1].function.arguments"),
        ("messages[0].tool_calls[1].id", "messages[0].tool_calls[1].id"),
        ("messages[3].content[1]", "messages[3].images[1]"),
        ("messages[3].content", "messages[3].content"),
        ("options.num_ctx", "options.num_ctx"),
    ],
)
def test_members_are_called_what_this_wire_calls_them(field: str, name: str):
    own = frozenset({"typical_p", "dry_sequence_breakers"})
    assert named(field, own) == name
    error = NotSupportedError(f"{field}: not here", field=field)
    assert message(error, own) == f"{name}: not here"


def test_a_model_without_a_chat_template_is_asked_in_this_wires_way():
    said = "the model has no chat template; send `prompt` instead of `messages`"
    assert message(TemplateError(said), frozenset()) == (
        "the model has no chat template; send a prompt to /api/generate with `raw`"
    )


def test_a_field_that_this_wire_does_not_have_keeps_its_name():
    error = InvalidRequestError("temperature: unknown field", field="temperature")
    assert message(error, frozenset()) == error.message
