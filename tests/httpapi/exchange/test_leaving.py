# SPDX-License-Identifier: GPL-3.0-only
"""A client that leaves ends its work in every stage and under every host, over real sockets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from modeld.httpapi.app import ModeldApp
from modeld.responses import Token
from modeld.settings import Settings
from modeld.values import ModelSpec
from tests.httpapi.routes.inference.test_unary import ROUTES
from tests.support.http.fake_service import DONE, GENERATION, FakeService, Step, make_app
from tests.support.http.live_server import Caller, serving

PATIENCE_S = 10.0


class PassOn(BaseHTTPMiddleware):
    """What hosts put around everything; it hides the disconnect from ``is_disconnected()``."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


class ReadFirst(BaseHTTPMiddleware):
    """A host that looks at the body before the application does."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        await request.body()
        return await call_next(request)


def alone(app: ModeldApp) -> Any:
    return app


def mounted(app: ModeldApp) -> Any:
    return Starlette(routes=[Mount("/llm", app)])


def under_middleware(app: ModeldApp) -> Any:
    middleware = [Middleware(PassOn), Middleware(PassOn)]
    return Starlette(routes=[Mount("/llm", app)], middleware=middleware)


def under_a_reader(app: ModeldApp) -> Any:
    return Starlette(routes=[Mount("/llm", app)], middleware=[Middleware(ReadFirst)])


HOSTS: list[tuple[Callable[[ModeldApp], Any], str]] = [
    (alone, ""),
    (mounted, "/llm"),
    (under_middleware, "/llm"),
    (under_a_reader, "/llm"),
]


async def left_behind(app: ModeldApp) -> None:
    """Close the application and see that no task of a request is left."""
    await app.aclose()
    names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]
    assert not [name for name in names if "watch" in name or "Delivery" in name]


def run(test: Any) -> None:
    asyncio.run(asyncio.wait_for(test, PATIENCE_S))


@pytest.mark.parametrize(("host", "prefix"), HOSTS)
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_the_queue_is_out_of_it(
    host: Callable[[ModeldApp], Any], prefix: str, stream: bool
) -> None:
    async def test() -> None:
        service = FakeService(asyncio.Event())
        app = make_app(service)
        async with serving(host(app)) as port:
            caller = await Caller.post(port, f"{prefix}/infer", {"prompt": "x", "stream": stream})
            await service.begun.wait()
            await caller.hang_up()
            await service.ended.wait()
            assert service.ends == ["left"]
        await left_behind(app)

    run(test())


@pytest.mark.parametrize(("host", "prefix"), HOSTS)
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_in_mid_response_ends_it(
    host: Callable[[ModeldApp], Any], prefix: str, stream: bool
) -> None:
    async def test() -> None:
        service = FakeService(Token(text="a"), asyncio.Event(), DONE)
        app = make_app(service)
        async with serving(host(app)) as port:
            caller = await Caller.post(port, f"{prefix}/infer", {"prompt": "x", "stream": stream})
            await service.begun.wait()
            if stream:
                await caller.until(b'{"token":"a"}\n')
            await caller.hang_up()
            await service.ended.wait()
            assert service.ends == ["left"]
        await left_behind(app)

    run(test())


@pytest.mark.parametrize(("host", "prefix"), HOSTS)
def test_a_client_that_leaves_while_its_model_loads_waits_no_longer(
    host: Callable[[ModeldApp], Any], prefix: str
) -> None:
    async def test() -> None:
        service = FakeService(models=[ModelSpec(id="m", name="m", path="/m")])
        service.load_gate = asyncio.Event()
        app = make_app(service)
        async with serving(host(app)) as port:
            caller = await Caller.post(port, f"{prefix}/models/m/load")
            await service.begun.wait()
            await caller.hang_up()
            await service.ended.wait()
            assert service.calls[-1] == "gave up m"
        await left_behind(app)

    run(test())


@pytest.mark.parametrize(("host", "prefix"), HOSTS)
@pytest.mark.parametrize("path", ROUTES)
def test_a_client_that_leaves_before_its_response_ends_the_work(
    host: Callable[[ModeldApp], Any], prefix: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        service = FakeService()
        service.unary_gate = asyncio.Event()
        app = make_app(service)
        async with serving(host(app)) as port:
            caller = await Caller.post(port, prefix + path, ROUTES[path][0])
            await service.begun.wait()
            await caller.hang_up()
            await service.ended.wait()
            assert service.ends == ["left"]
        await left_behind(app)

    with caplog.at_level(logging.INFO):
        run(test())
    [line] = [r for r in caplog.records if r.name == "modeld.access"]
    assert f"POST {path} 499 " in line.getMessage()
    assert "client_left" in line.getMessage()
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(("host", "prefix"), HOSTS)
def test_a_client_that_stays_gets_all_of_its_responses_on_one_connection(
    host: Callable[[ModeldApp], Any], prefix: str
) -> None:
    async def test() -> None:
        service = FakeService()
        app = make_app(service)
        async with serving(host(app)) as port:
            caller = await Caller.post(port, f"{prefix}/infer", {"prompt": "x"})
            head = await caller.until(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"x-request-id: " in head.lower()
            await caller.until(b"0\r\n\r\n")
            body = b'{"prompt":"y","stream":false}'
            caller.writer.write(
                f"POST {prefix}/infer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            assert (await caller.rest()).count(b'"done":true') == 1
            await caller.hang_up()
        assert service.ends == ["done", "done"]
        await left_behind(app)

    run(test())


@pytest.mark.parametrize(("host", "prefix"), HOSTS)
def test_tokens_arrive_as_they_are_made(host: Callable[[ModeldApp], Any], prefix: str) -> None:
    async def test() -> None:
        gates = [asyncio.Event(), asyncio.Event()]
        script: list[Step] = [GENERATION[0], gates[0], GENERATION[1], gates[1], DONE]
        app = make_app(FakeService(*script))
        async with serving(host(app)) as port:
            caller = await Caller.post(port, f"{prefix}/infer", {"prompt": "x"})
            await caller.until(b'{"token":"a"}\n')
            gates[0].set()
            await caller.until(b'{"token":"b"}\n')
            gates[1].set()
            await caller.until(b"0\r\n\r\n")
            await caller.hang_up()
        await left_behind(app)

    run(test())


@pytest.mark.parametrize(("host", "prefix"), HOSTS)
def test_a_client_that_leaves_is_no_error_in_any_log(
    host: Callable[[ModeldApp], Any], prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        service = FakeService(asyncio.Event())
        app = make_app(service)
        async with serving(host(app)) as port:
            caller = await Caller.post(port, f"{prefix}/infer", {"prompt": "x"})
            await service.begun.wait()
            await caller.hang_up()
            await service.ended.wait()
        await left_behind(app)

    with caplog.at_level(logging.INFO):
        run(test())
    [line] = [r for r in caplog.records if r.name == "modeld.access"]
    assert "POST /infer 499 " in line.getMessage()
    assert "client_left" in line.getMessage()
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_a_hundred_clients_that_leave_at_once_leave_nothing_behind() -> None:
    async def test() -> None:
        service = FakeService(Token(text="a"), asyncio.Event())
        app = make_app(service)
        async with serving(app) as port:
            posts = [Caller.post(port, "/infer", {"prompt": "x"}) for _ in range(100)]
            callers = await asyncio.gather(*posts)
            await asyncio.gather(*(caller.until(b"}\n") for caller in callers))
            await asyncio.gather(*(caller.hang_up() for caller in callers))
            while len(service.ends) < 100:
                service.ended.clear()
                await service.ended.wait()
            assert set(service.ends) == {"left"}
        await left_behind(app)

    run(test())


def test_a_client_that_reads_nothing_is_cut_off() -> None:
    async def test() -> None:
        big = Token(text="x" * 500_000)
        service = FakeService(*[big] * 100, DONE)
        app = make_app(service, Settings(write_timeout_s=0.2))
        async with serving(app) as port:
            caller = await Caller.post(port, "/infer", {"prompt": "x"}, read_limit=1024)
            caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await service.ended.wait()
            assert service.ends == ["left"]
            caller.writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert b'"done"' not in await caller.rest()
            await caller.hang_up()
        await left_behind(app)

    run(test())


def test_a_chunked_body_over_the_limit_is_413() -> None:
    async def test() -> None:
        service = FakeService()
        app = make_app(service, Settings(max_body_bytes=100))
        async with serving(app) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"POST /infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                b"40\r\n" + b" " * 64 + b"\r\n40\r\n" + b" " * 64 + b"\r\n0\r\n\r\n"
            )
            response = await reader.read()
            assert response.startswith(b"HTTP/1.1 413 ")
            assert b"body_too_large" in response
            await Caller(reader, writer).hang_up()
        assert service.requests == []
        await left_behind(app)

    run(test())
