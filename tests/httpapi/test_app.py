# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from modeld.errors import ConfigurationError
from modeld.httpapi.app import ModeldApp, create_app
from modeld.httpapi.exchange.exchange import MAX_QUERY_FIELDS
from modeld.plugins.host import PluginHost
from modeld.serving.service import LocalService
from modeld.settings import Settings
from tests.support.http.fake_service import (
    FakePlugin,
    FakeService,
    app_of,
    ask,
    client_of,
    make_app,
)


async def lifespan_of(app: Any) -> list[str]:
    """Return what a server hears when it starts and then stops an application."""
    to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    for kind in ("lifespan.startup", "lifespan.shutdown"):
        to_app.put_nowait({"type": kind})
    heard: list[str] = []

    async def send(message: Any) -> None:
        heard.append(message["type"])

    await app({"type": "lifespan", "state": {}}, to_app.get, send)
    return heard


def test_an_application_starts_by_itself_at_the_first_request() -> None:
    async def go() -> None:
        service = FakeService()
        async with client_of(make_app(service)) as client:
            assert service.calls == []
            await client.get("/status")
            await client.get("/status")
            assert service.calls == ["start"]
        assert service.calls == ["start", "aclose"]

    asyncio.run(go())


def test_first_requests_that_come_together_share_the_start() -> None:
    async def go() -> None:
        service = FakeService()
        async with client_of(make_app(service)) as client:
            await asyncio.gather(*(client.get("/status") for _ in range(5)))
        assert service.calls.count("start") == 1

    asyncio.run(go())


def test_plugins_that_serve_an_application_are_refused_to_a_second_one() -> None:
    for settings in (Settings(), Settings(block_plugins=("openai", "ollama", "anthropic"))):
        plugins = PluginHost.discover(settings)
        create_app(settings, plugins)
        with pytest.raises(
            ConfigurationError, match=r"already; .* PluginHost\.discover\(settings\)"
        ):
            create_app(settings, plugins)
        create_app(settings, PluginHost.discover(settings))


def test_a_start_that_fails_is_answered_with_its_reason() -> None:
    service = FakeService()
    service.start_error = ConfigurationError("models: no option 'x'", field="models")
    response = ask(make_app(service), "GET", "/models")
    assert response.status_code == 500
    assert response.json()["reason"] == "configuration_error"
    assert response.json()["error"] == "models: no option 'x'"


def test_alone_it_follows_the_lifespan_of_the_server() -> None:
    service = FakeService()
    heard = asyncio.run(lifespan_of(make_app(service)))
    assert heard == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert service.calls == ["start", "aclose"]


def test_a_server_hears_of_a_start_that_fails() -> None:
    service = FakeService()
    service.start_error = ConfigurationError("bad")
    with pytest.raises(ConfigurationError):
        asyncio.run(lifespan_of(make_app(service)))


def test_a_host_may_enter_its_lifespan() -> None:
    service = FakeService()
    app = make_app(service)
    host = Starlette(routes=[Mount("/llm", app)], lifespan=app.lifespan)
    assert asyncio.run(lifespan_of(host))[0] == "lifespan.startup.complete"
    assert service.calls == ["start", "aclose"]


def test_draining_is_passed_on_once_it_runs() -> None:
    async def go() -> None:
        service = FakeService()
        app = make_app(service)
        await app.start()
        await app.drain(2.0)
        assert service.calls == ["start", "drain 2"]
        await app.aclose()

    asyncio.run(go())


@pytest.mark.parametrize("prefix", ["/llm", "/a/b c", "/models"])
def test_it_serves_under_any_prefix(prefix: str) -> None:
    app = make_app(FakeService())
    host = Starlette(routes=[Mount(prefix, app)])

    async def go() -> None:
        async with client_of(host, close=app) as client:
            response = await client.post(f"{prefix}/infer", json={"prompt": "hi"})
            assert response.text.count("\n") == 3
            assert (await client.get(f"{prefix}/healthz")).text == "ok"
            nothing = await client.get(f"{prefix}/nope")
            assert nothing.json()["reason"] == "not_found"
            document = (await client.get(f"{prefix}/openapi.json")).json()
            assert document["servers"] == [{"url": prefix.replace(" ", "%20")}]
            assert (await client.get(f"{prefix}/swagger/index.html")).status_code == 200

    asyncio.run(go())


def test_two_applications_in_one_process_share_nothing() -> None:
    first, second = FakePlugin(FakeService()), FakePlugin(FakeService())
    one, two = app_of(first), app_of(second)
    host = Starlette(routes=[Mount("/one", one), Mount("/two", two)])

    async def go() -> None:
        async with client_of(host, close=one) as client:
            await client.get("/one/status")
            assert second.events == []
            assert first.events != []
            metrics = (await client.get("/two/metrics")).text
            assert 'path="/status"' not in metrics
            assert 'path="/status"' in (await client.get("/one/metrics")).text
        await two.aclose()

    asyncio.run(go())


def test_the_hosts_own_errors_and_ours_do_not_meet() -> None:
    async def host_error(request: Request, exc: Exception) -> Response:
        return PlainTextResponse("the host's words", 418)

    async def fail(request: Request) -> Response:
        raise HTTPException(404)

    app = make_app(FakeService(), routes=[Route("/fail", fail)])
    host = Starlette(
        routes=[Route("/fail", fail), Mount("/llm", app)],
        exception_handlers={HTTPException: host_error, 404: host_error},
    )

    async def go() -> None:
        async with client_of(host, close=app) as client:
            assert (await client.get("/fail")).text == "the host's words"
            for path in ("/llm/fail", "/llm/nope"):
                assert (await client.get(path)).json()["reason"] == "not_found"

    asyncio.run(go())


def test_a_hosts_middleware_finds_its_own_application_after_the_call() -> None:
    seen = []

    class Look(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            response = await call_next(request)
            seen.append(request.app)
            return response

    app = make_app(FakeService())
    host = Starlette(routes=[Mount("/llm", app)], middleware=[Middleware(Look)])

    async def go() -> None:
        async with client_of(host, close=app) as client:
            response = await client.post("/llm/infer", json={"prompt": "hi"})
            assert response.text.count("\n") == 3

    asyncio.run(go())
    assert seen == [host]


class Stamp:
    """Middleware of a plugin that marks every response."""

    def __init__(self, app: ASGIApp, value: str, fails: bool = False) -> None:
        self.app, self.value, self.fails = app, value, fails

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def mark(message: Any) -> None:
            if message["type"] == "http.response.start":
                stamp = (b"x-stamp", self.value.encode())
                message = {**message, "headers": [*message["headers"], stamp]}
            await send(message)

        if self.fails:
            raise RuntimeError("broken middleware")
        await self.app(scope, receive, mark)


def test_a_plugins_middleware_sees_every_response_the_first_one_outermost() -> None:
    class Second(Stamp):
        pass

    stamps = [Middleware(Stamp, "outer"), Middleware(Second, "inner")]
    app = make_app(FakeService(), middleware=stamps)

    async def go() -> None:
        async with client_of(app) as client:
            for path in ("/status", "/nope", "/models"):
                response = await client.get(path)
                assert response.headers.get_list("x-stamp") == ["inner", "outer"]
            streamed = await client.post("/infer", json={"prompt": "hi"})
            assert streamed.headers.get_list("x-stamp") == ["inner", "outer"]

    asyncio.run(go())


def test_a_broken_middleware_is_answered_like_any_inner_fault() -> None:
    broken = make_app(FakeService(), middleware=[Middleware(Stamp, "x", fails=True)])
    response = ask(broken, "GET", "/status")
    assert response.status_code == 500
    assert response.json()["reason"] == "internal_error"
    assert response.headers["x-request-id"] in response.json()["error"]


def test_a_plugins_route_reaches_the_application() -> None:
    async def brought(request: Request) -> Response:
        own: ModeldApp = request.app
        return JSONResponse({"default": own.settings.default_model})

    settings = Settings(default_model="m")
    app = make_app(FakeService(), settings, routes=[Route("/brought", brought)])
    assert ask(app, "GET", "/brought").json() == {"default": "m"}


@pytest.mark.parametrize(
    "path", ["/infer", "/models/{id}/load", "/openapi.json", "/swagger", "/swagger/doc.json"]
)
def test_a_plugin_cannot_take_a_path_of_ours(path: str) -> None:
    async def brought(request: Request) -> Response:
        return PlainTextResponse("mine")

    with pytest.raises(ConfigurationError, match="modeld's own"):
        make_app(FakeService(), routes=[Route(path, brought)])


def test_without_settings_the_environment_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODELD_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("MODELD_MAX_BODY_BYTES", "77")
    app = create_app()
    assert app.settings.max_body_bytes == 77
    assert isinstance(app.service, LocalService)


def test_the_models_of_this_machine_are_served_where_no_plugin_says_otherwise(
    tmp_path: Path,
) -> None:
    app = create_app(Settings(models_dir=str(tmp_path), warm_workers=0))

    async def go() -> None:
        async with client_of(app) as client:
            assert (await client.get("/models")).json()["models"] == []
            status = (await client.get("/status")).json()
            assert status["state"] == "running"
            response = await client.post("/infer", json={"prompt": "hi", "model": "nope"})
            assert response.status_code == 404

    asyncio.run(go())


def test_making_an_application_needs_no_event_loop_and_starts_nothing() -> None:
    service = FakeService()
    make_app(service)
    assert service.calls == []


def test_no_signal_handler_is_installed() -> None:
    code = (
        "import signal, asyncio; from modeld import Settings, create_app;"
        "kinds = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP);"
        "before = [signal.getsignal(s) for s in kinds];"
        "app = create_app(Settings(warm_workers=0)); asyncio.run(app.aclose());"
        "assert before == [signal.getsignal(s) for s in kinds]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_query_has_only_so_many_fields() -> None:
    async def echo(request: Request) -> Response:
        return PlainTextResponse("here")

    def ask_with(query: str) -> httpx.Response:
        return ask(make_app(FakeService(), routes=[Route("/echo", echo)]), "GET", f"/echo?{query}")

    query = "&".join(["a=1"] * MAX_QUERY_FIELDS)
    assert ask_with(query).status_code == 200
    response = ask_with(f"{query}&a=1")
    assert response.status_code == 400
    assert response.json()["error"] == "the query has more than 100 fields"
