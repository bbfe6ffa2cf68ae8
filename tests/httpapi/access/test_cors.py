# SPDX-License-Identifier: GPL-3.0-only
"""Pages of other origins that may use the server, and those that may not."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from modeld.errors import ConfigurationError, QueueFullError
from modeld.httpapi.access.cors import AllowedOrigins
from modeld.httpapi.access.keys import Keys
from modeld.httpapi.app import ModeldApp
from modeld.settings import Settings
from tests.support.http.fake_service import FakeService, ask, make_app

CHAT = "https://chat.example"
APP = "app://obsidian.md"
ALLOWED = Settings(cors_origins=(CHAT, APP))
ASKED = "authorization, content-type, x-stainless-os, anthropic-version, openai-beta, x-api-key"


async def brought(request: Request) -> Response:
    return PlainTextResponse("brought")


def app_with(settings: Settings, service: FakeService | None = None) -> ModeldApp:
    return make_app(service or FakeService(), settings, routes=[Route("/brought", brought)])


def preflight(app: ModeldApp, path: str, origin: str, **headers: str) -> httpx.Response:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": ASKED,
    }
    return ask(app, "OPTIONS", path, headers=asked | headers)


def page(origin: str, site: str = "cross-site") -> dict[str, str]:
    """Return what a browser says of a page."""
    return {"origin": origin, "sec-fetch-site": site}


def words(text: str) -> set[str]:
    return {word.strip().lower() for word in text.split(",")}


@pytest.fixture
def with_keys(tmp_path: Path) -> dict[str, Any]:
    """Return settings of a server that needs a key."""
    (tmp_path / "keys").write_text("some-key-of-a-length\n")
    return {"api_key_file": str(tmp_path / "keys")}


@pytest.mark.parametrize("path", ["/infer", "/v1/chat/completions", "/brought", "/nope"])
def test_a_preflight_of_an_allowed_origin_needs_no_key_on_any_route(
    path: str, with_keys: dict[str, Any]
) -> None:
    service = FakeService()
    app = app_with(Settings(cors_origins=(CHAT,), **with_keys), service)
    response = preflight(app, path, CHAT)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == CHAT
    assert "POST" in response.headers["access-control-allow-methods"]
    assert words(response.headers["access-control-allow-headers"]) == words(ASKED)
    assert "Origin" in response.headers["vary"]
    assert "access-control-allow-credentials" not in response.headers
    assert service.calls == []


def test_a_page_on_the_web_may_be_allowed_to_call_a_server_in_its_visitors_network() -> None:
    asked = {"access-control-request-private-network": "true"}
    response = preflight(app_with(ALLOWED), "/infer", CHAT, **asked)
    assert response.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://chat.example", f"{CHAT}:8443", f"{CHAT}.evil.example", "null"],
)
def test_a_preflight_of_another_origin_is_refused(origin: str) -> None:
    response = preflight(app_with(ALLOWED), "/infer", origin)
    assert response.status_code == 400
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("origin", [CHAT, APP])
def test_a_page_of_an_allowed_origin_generates_and_reads(origin: str, site: str) -> None:
    response = ask(
        app_with(ALLOWED), "POST", "/infer", json={"prompt": "hi"}, headers=page(origin, site)
    )
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == origin
    assert response.headers["access-control-expose-headers"] == "*"
    assert "Origin" in response.headers["vary"]
    assert "x-request-id" in response.headers


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
@pytest.mark.parametrize("path", ["/infer", "/models/refresh"])
def test_a_page_of_another_origin_is_refused_and_reads_nothing(origin: str, path: str) -> None:
    service = FakeService()
    response = ask(app_with(ALLOWED, service), "POST", path, json={}, headers=page(origin))
    assert (response.status_code, response.json()["reason"]) == (403, "forbidden")
    assert "access-control-allow-origin" not in response.headers
    assert (service.requests, service.calls) == ([], [])


def test_a_page_that_does_not_say_its_origin_is_refused() -> None:
    headers = {"sec-fetch-site": "cross-site"}
    assert ask(app_with(ALLOWED), "POST", "/infer", json={}, headers=headers).status_code == 403


def test_of_two_origins_both_must_be_allowed() -> None:
    headers = [("sec-fetch-site", "cross-site"), ("origin", CHAT), ("origin", "https://x.example")]
    assert ask(app_with(ALLOWED), "POST", "/infer", json={}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("path", "status"), [("/infer", 429), ("/nope", 404), ("/healthz", 405), ("/v1/nope", 404)]
)
def test_a_page_can_read_what_went_wrong(path: str, status: int) -> None:
    service = FakeService(QueueFullError("the queue is full", retry_after_s=3))
    app = app_with(ALLOWED, service)
    response = ask(app, "POST", path, json={"prompt": "hi"}, headers=page(CHAT))
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == CHAT


def test_a_page_can_read_that_its_key_is_wrong(with_keys: dict[str, Any]) -> None:
    app = app_with(Settings(cors_origins=(CHAT,), **with_keys))
    response = ask(app, "POST", "/infer", json={"prompt": "hi"}, headers=page(CHAT))
    assert response.status_code == 401
    assert response.headers["access-control-allow-origin"] == CHAT


def test_a_response_to_nobody_in_particular_depends_on_the_origin_too() -> None:
    response = ask(app_with(ALLOWED), "GET", "/status")
    assert "Origin" in response.headers["vary"]
    assert "access-control-allow-origin" not in response.headers


def test_the_access_log_calls_a_preflight_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "modeld.access"):
        preflight(app_with(ALLOWED), "/infer", CHAT)
    assert caplog.messages[-1].startswith("OPTIONS preflight 200")


LOOPBACK = ["http://localhost", "http://localhost:5173", "https://127.0.0.1:1", "http://[::1]:81"]


@pytest.mark.parametrize("origin", LOOPBACK)
def test_one_switch_lets_the_pages_of_this_machine_in(origin: str) -> None:
    settings = Settings(cors_loopback=True)
    asked = preflight(app_with(settings), "/infer", origin)
    assert asked.headers["access-control-allow-origin"] == origin
    headers = page(origin, "same-site")
    response = ask(app_with(settings), "POST", "/infer", json={"prompt": "hi"}, headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost.evil.example",
        "http://evil.example",
        "http://notlocalhost",
        "http://127.0.0.1.evil.example",
        "http://127x0x0x1",
        "http://localhost:1@evil.example",
        "app://localhost",
        "null",
        "",
    ],
)
def test_that_switch_lets_no_others_in(origin: str) -> None:
    assert not AllowedOrigins(loopback=True).allows(origin)


@pytest.mark.parametrize("origin", [*LOOPBACK, CHAT, ""])
def test_by_default_no_origin_is_allowed(origin: str) -> None:
    assert not AllowedOrigins()
    assert not AllowedOrigins().allows(origin)
    assert preflight(app_with(Settings()), "/infer", origin).status_code == 405


def test_with_keys_all_origins_may_be_allowed(with_keys: dict[str, Any]) -> None:
    settings = Settings(cors_origins=("*",), **with_keys)
    headers = page("https://any.example") | {"authorization": "Bearer some-key-of-a-length"}
    response = ask(app_with(settings), "POST", "/infer", json={"prompt": "hi"}, headers=headers)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://any.example"
    headers |= page("null")
    refused = ask(app_with(settings), "POST", "/infer", json={"prompt": "hi"}, headers=headers)
    assert refused.status_code == 403


def test_without_keys_that_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigurationError, match="set api_key_file too") as refusal:
        app_with(Settings(cors_origins=("*",)))
    assert refusal.value.field == "cors_origins"


@pytest.mark.parametrize(
    "origin",
    [
        "chat.example",
        f"{CHAT}/",
        f"{CHAT}/path",
        "https://Chat.example",
        "https://*.example",
        "https://chat.example:443",
        "http://chat.example:80",
        "https://user@chat.example",
        "https://bücher.example",
        "https://",
        "null",
        f"{CHAT}\n",
    ],
)
def test_what_no_browser_sends_as_an_origin_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ConfigurationError, match="is no origin as browsers write it"):
        app_with(Settings(cors_origins=(origin,)))


@pytest.mark.parametrize(
    "origin",
    [CHAT, APP, "http://chat.example:443", "https://[2001:db8::1]:80", "chrome-extension://abcdef"],
)
def test_what_browsers_send_as_an_origin_is_taken_as_it_is(origin: str) -> None:
    assert AllowedOrigins.from_settings(Settings(cors_origins=(origin,)), Keys()).allows(origin)
