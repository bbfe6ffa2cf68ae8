# SPDX-License-Identifier: GPL-3.0-only
"""An application around a service that plays a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import httpx
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from modeld import Observer, OutputFormatter, hookimpl
from modeld.dialects import Dialect
from modeld.errors import ModeldError
from modeld.events import Event
from modeld.httpapi.app import ModeldApp, create_app
from modeld.interfaces import ModelService
from modeld.plugins.host import PluginHost
from modeld.settings import Settings
from modeld.testing.doubles.fake_service import FakeService
from modeld.testing.doubles.scripted import DONE, GENERATION, Step

__all__ = ["DONE", "GENERATION", "FakeService", "Step"]


class FakePlugin(Observer):
    """Puts a service in the local one's place, adds what a test asks for, notes all events."""

    name = "fake"

    def __init__(
        self,
        service: ModelService | None,
        formatters: Iterable[OutputFormatter] = (),
        middleware: Iterable[Middleware] = (),
        routes: Iterable[BaseRoute] = (),
        dialects: Iterable[Dialect] = (),
    ) -> None:
        self._service = service
        self._formatters = list(formatters)
        self._middleware = list(middleware)
        self._routes = list(routes)
        self._dialects = list(dialects)
        self.events: list[Event] = []

    def notify(self, event: Event) -> None:
        self.events.append(event)

    @hookimpl
    def modeld_build_service(self) -> ModelService | None:
        return self._service

    @hookimpl
    def modeld_register_observers(self) -> list[Observer]:
        return [self]

    @hookimpl
    def modeld_register_formatters(self) -> list[OutputFormatter]:
        return self._formatters

    @hookimpl
    def modeld_register_middleware(self) -> list[Middleware]:
        return self._middleware

    @hookimpl
    def modeld_register_dialects(self) -> list[Dialect]:
        return self._dialects

    @hookimpl
    def modeld_register_routes(self) -> list[BaseRoute]:
        return self._routes


def make_app(
    service: ModelService,
    settings: Settings | None = None,
    *,
    trusted_hosts: Sequence[str] | None = None,
    **brought: Any,
) -> ModeldApp:
    """Return the real application with the real built-in plugins, around ``service``."""
    return app_of(FakePlugin(service, **brought), settings, trusted_hosts=trusted_hosts)


def app_of(
    plugin: FakePlugin,
    settings: Settings | None = None,
    *,
    trusted_hosts: Sequence[str] | None = None,
) -> ModeldApp:
    """As :func:`make_app`, for tests that look at the plugin afterwards."""
    settings = settings or Settings()
    plugins = PluginHost.discover(settings, {"fake": plugin})
    return create_app(settings, plugins, trusted_hosts=trusted_hosts)


@lru_cache
def dialects() -> tuple[str, ...]:
    """Return the installed plugins that bring wire formats, which have such tests of their own."""
    plugins = PluginHost.discover(Settings())
    plugins.dialects()
    provided = {status.name: " ".join(status.provides) for status in plugins.statuses()}
    return tuple(name for name, provides in provided.items() if "dialect " in provides)


@asynccontextmanager
async def client_of(app: Any, close: ModeldApp | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client in the application's own process and loop; streams arrive as a whole."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        try:
            yield client
        finally:
            closing = close or app
            await closing.aclose()


def ask(app: ModeldApp, method: str, path: str, **request: Any) -> httpx.Response:
    """Return the response to one request."""

    async def go() -> httpx.Response:
        async with client_of(app) as client:
            return await client.request(method, path, **request)

    return asyncio.run(go())


def connect(app: ModeldApp, path: str, *headers: tuple[bytes, bytes]) -> list[str]:
    """Return the kinds of message that a WebSocket's client gets."""
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async def go() -> None:
        scope = {"type": "websocket", "path": path, "query_string": b"", "headers": list(headers)}
        await app(scope, receive, send)
        await app.aclose()

    asyncio.run(go())
    return sent


def infer(service: ModelService, /, **body: Any) -> httpx.Response:
    """Return the response to one ``POST /infer``."""
    return ask(make_app(service), "POST", "/infer", json={"prompt": "hi", **body})


def problem(error: ModeldError, status: int) -> dict[str, object]:
    """Return the body that an error should have."""
    body: dict[str, object] = {"error": error.message, "code": status, "reason": error.code}
    return body if error.field is None else {**body, "field": error.field}
