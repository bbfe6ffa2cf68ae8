# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

import modeld.httpapi
from modeld.errors import ConfigurationError
from modeld.httpapi.access.keys import Keys
from modeld.httpapi.app import ModeldApp
from modeld.interfaces import PublicRoute
from modeld.settings import Settings
from tests.support.http.fake_service import FakeService, ask, client_of, connect, make_app

KEY = "a-key-of-some-length"
PUBLIC = {"/healthz", "/readyz"}
OPEN = {"/", "/ui", "/ui/{path:path}"}
"""What the dashboard serves to anybody: pages without data."""


@pytest.fixture
def guarded(tmp_path: Path) -> Settings:
    """Return settings with a file of two keys."""
    file = tmp_path / "keys"
    file.write_text(f"{KEY}\n\n  other-key  \n")
    return Settings(api_key_file=str(file))


async def brought(request: Request) -> Response:
    return PlainTextResponse("brought")


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


def full_app(settings: Settings) -> ModeldApp:
    return make_app(
        FakeService(),
        settings,
        routes=[
            Route("/brought", brought),
            Mount("/mounted", routes=[Route("/inner", brought)]),
            WebSocketRoute("/talk", talk),
        ],
    )


def test_every_route_but_the_probes_needs_a_key(guarded: Settings) -> None:
    app = full_app(guarded)
    guarded_routes = [r for r in app.routes if r.template not in OPEN]
    templates = [r.template for r in guarded_routes if not isinstance(r.route, WebSocketRoute)]
    paths = {t.replace("{id}", "x").replace("{path}", "index.html") for t in templates}
    paths |= {"/mounted/inner", "/nope", "/x//", "/healthz/", "/HEALTHZ"}
    assert paths >= {"/infer", "/models/x/load", "/status", "/metrics", "/brought"}

    async def go() -> None:
        async with client_of(app) as client:
            for path in sorted(paths - PUBLIC - {"/mounted"}):
                for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
                    response = await client.request(method, path)
                    assert response.status_code == 401, (method, path)
                    assert response.headers["www-authenticate"].startswith("Bearer")
            for path in PUBLIC:
                assert (await client.get(path)).status_code == 200

    asyncio.run(go())


def test_without_a_key_nothing_is_started(guarded: Settings) -> None:
    service = FakeService()
    ask(make_app(service, guarded), "POST", "/infer", json={"prompt": "hi"})
    assert service.calls == []


@pytest.mark.parametrize(
    "header",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY} "},
        {"authorization": "Bearer other-key"},
        {"x-api-key": KEY},
        {"authorization": "Basic eDp5", "x-api-key": KEY},
        {"authorization": "Bearer of-another-server", "x-api-key": KEY},
        {"x-api-key": "of-another-server", "authorization": f"Bearer {KEY}"},
    ],
)
def test_any_of_the_keys_opens_everything(guarded: Settings, header: dict[str, str]) -> None:
    app = full_app(guarded)

    async def go() -> None:
        async with client_of(app) as client:
            for path in ("/status", "/brought", "/mounted/inner", "/openapi.json"):
                assert (await client.get(path, headers=header)).status_code == 200

    asyncio.run(go())


@pytest.mark.parametrize(
    "header",
    [
        {"authorization": KEY},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"authorization": f"Basic {KEY}"},
        {"x-api-key": ""},
        {"x-api-key": KEY.upper()},
        {"authorization": f"Bearer {KEY}x", "x-api-key": "other"},
        {"cookie": f"key={KEY}"},
    ],
)
def test_anything_else_is_refused(guarded: Settings, header: dict[str, str]) -> None:
    response = ask(full_app(guarded), "GET", "/status", headers=header)
    assert response.status_code == 401
    assert response.json()["reason"] == "unauthorized"
    assert KEY not in response.text


def test_a_key_in_the_address_is_no_key(guarded: Settings) -> None:
    assert ask(full_app(guarded), "GET", f"/status?api_key={KEY}").status_code == 401


def test_a_websocket_needs_a_key_too(guarded: Settings) -> None:
    assert connect(full_app(guarded), "/talk") == ["websocket.close"]
    assert connect(full_app(guarded), "/nope") == ["websocket.close"]
    opened = connect(full_app(guarded), "/talk", (b"x-api-key", KEY.encode()))
    assert opened == ["websocket.accept", "websocket.close"]


def test_the_prefix_of_a_mounted_application_changes_nothing(guarded: Settings) -> None:
    app = full_app(guarded)
    host: Any = Mount("/llm", app)

    async def go() -> None:
        async with client_of(host, close=app) as client:
            assert (await client.get("/llm/status")).status_code == 401
            assert (await client.get("/llm/healthz")).status_code == 200
            assert (await client.get("/llm/healthz/../status")).status_code == 401
            assert (await client.get("/llm/status", headers={"x-api-key": KEY})).status_code == 200

    asyncio.run(go())


def test_without_a_key_file_all_is_open() -> None:
    assert ask(full_app(Settings()), "GET", "/status").status_code == 200
    assert not Keys()


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_a_key_stops_the_start(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "keys"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="has no key; write one per line"):
        make_app(FakeService(), Settings(api_key_file=str(file)))


def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigurationError, match="cannot be read") as refusal:
            Keys.from_file(str(path))
        assert refusal.value.field == "api_key_file"


def test_no_decision_is_taken_from_an_address_that_a_host_header_can_bend() -> None:
    for source in Path(modeld.httpapi.__file__).parent.rglob("*.py"):
        assert "request.url" not in source.read_text(), source.name


def test_keys_are_not_kept_in_memory_as_they_are(guarded: Settings) -> None:
    assert KEY.encode() not in repr(vars(Keys.from_file(guarded.api_key_file))).encode()


def test_a_plugins_public_route_needs_no_key_and_does_not_start_the_service(
    guarded: Settings,
) -> None:
    service = FakeService()
    app = make_app(service, guarded, routes=[PublicRoute(Route("/page", brought))])

    assert ask(app, "GET", "/page").text == "brought"
    assert service.calls == []
    assert ask(app, "GET", "/status").status_code == 401


def test_a_public_route_still_refuses_other_names(tmp_path: Path) -> None:
    app = make_app(
        FakeService(), routes=[PublicRoute(Route("/page", brought))], trusted_hosts=["localhost"]
    )
    response = ask(app, "GET", "/page", headers={"host": "evil.example"})
    assert response.status_code == 403


TWO_KEYS = ("first-key-of-some-length", "second-key-of-some-length")


@pytest.fixture
def per_key(tmp_path: Path) -> Settings:
    """Return settings that keep the caches of two keys apart."""
    file = tmp_path / "keys"
    file.write_text("\n".join(TWO_KEYS))
    return Settings(api_key_file=str(file), cache_per_key=True)


def salts(settings: Settings, *requests: tuple[str, str]) -> list[str]:
    """Return what the service gets for requests with these keys and salts of their own."""

    async def go() -> list[str]:
        service = FakeService()
        async with client_of(make_app(service, settings)) as client:
            for key, own in requests:
                body = {"prompt": "hi", "cache_salt": own}
                response = await client.post("/infer", json=body, headers={"x-api-key": key})
                assert response.status_code == 200
        return [request.cache_salt for request in service.requests]

    return asyncio.run(go())


def test_without_the_setting_a_request_has_its_own_salt(per_key: Settings) -> None:
    settings = Settings(api_key_file=per_key.api_key_file)
    assert salts(settings, (TWO_KEYS[0], ""), (TWO_KEYS[1], "mine")) == ["", "mine"]
    assert salts(Settings(), ("", ""), ("", "mine")) == ["", "mine"]


def test_requests_with_different_keys_never_share(per_key: Settings) -> None:
    first, second, again = salts(per_key, (TWO_KEYS[0], ""), (TWO_KEYS[1], ""), (TWO_KEYS[0], ""))
    assert first == again
    assert first != second


def test_a_clients_own_salt_counts_too(per_key: Settings) -> None:
    found = salts(
        per_key, (TWO_KEYS[0], ""), (TWO_KEYS[0], "a"), (TWO_KEYS[0], "b"), (TWO_KEYS[1], "a")
    )
    assert len(set(found)) == 4


def test_no_client_can_ask_for_the_salt_of_another(per_key: Settings) -> None:
    [victims] = salts(per_key, (TWO_KEYS[0], ""))
    [guessed] = salts(per_key, (TWO_KEYS[1], victims))
    assert guessed != victims


def test_the_same_key_has_the_same_salt_in_every_server(per_key: Settings) -> None:
    assert salts(per_key, (TWO_KEYS[0], "a")) == salts(per_key, (TWO_KEYS[0], "a"))


def test_a_key_has_one_salt_whichever_header_brings_it(per_key: Settings) -> None:
    async def go() -> None:
        service = FakeService()
        async with client_of(make_app(service, per_key)) as client:
            for headers in (
                {"x-api-key": TWO_KEYS[0]},
                {"authorization": f"Bearer {TWO_KEYS[0]}"},
                {"authorization": "Bearer of-another-server", "x-api-key": TWO_KEYS[0]},
            ):
                await client.post("/infer", json={"prompt": "hi"}, headers=headers)
        assert len(service.requests) == 3
        assert len({request.cache_salt for request in service.requests}) == 1

    asyncio.run(go())


def test_neither_the_key_nor_its_stored_hash_is_passed_on(per_key: Settings) -> None:
    [salt] = salts(per_key, (TWO_KEYS[0], ""))
    assert TWO_KEYS[0] not in salt
    assert hashlib.sha256(TWO_KEYS[0].encode()).hexdigest() not in salt
    assert len(salt) == 64


def test_caches_per_key_without_keys_stop_the_start() -> None:
    with pytest.raises(ConfigurationError, match="set api_key_file too") as refusal:
        make_app(FakeService(), Settings(cache_per_key=True))
    assert refusal.value.field == "cache_per_key"


def test_a_caller_is_told_by_the_key_whichever_header_brings_it_and_the_key_is_not_given_away():
    key = KEY.encode()
    keys = Keys()

    def caller(*headers: tuple[bytes, bytes]) -> str:
        return keys.caller_of({"type": "http", "headers": headers})

    mine = caller((b"authorization", b"Bearer " + key))
    assert caller((b"x-api-key", key)) == mine
    assert caller((b"x-api-key", b"other-key")) != mine
    assert hashlib.sha256(key).hexdigest() != mine
    assert KEY not in mine
    assert caller() == ""

    keys = Keys([key])
    assert caller((b"x-api-key", b"other-key"), (b"authorization", b"Bearer " + key)) == mine
