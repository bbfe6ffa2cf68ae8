# SPDX-License-Identifier: GPL-3.0-only
"""A service that answers from a script, and an application around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from modeld import Observer, OutputFormatter, hookimpl
from modeld.dialects import Dialect
from modeld.errors import ModeldError, ModelNotFoundError
from modeld.events import Event
from modeld.httpapi.app import ModeldApp, create_app
from modeld.interfaces import ModelService
from modeld.plugins import PluginHost
from modeld.requests import AnyUnaryRequest, GenerateRequest, KeepAliveSeconds
from modeld.responses import AnyUnaryResponse, Chunk, Done, FinishReason, TextResponse, Token, Usage
from modeld.settings import Settings
from modeld.status import Readiness, ServiceState, ServiceStatus
from modeld.values import ModelSpec, PluginStatus

Step = Chunk | BaseException | asyncio.Event

USAGE = Usage(prompt_tokens=3, completion_tokens=2)
DONE = Done(finish_reason=FinishReason.STOP, usage=USAGE, content="ab")
GENERATION: tuple[Step, ...] = (Token(text="a"), Token(text="b"), DONE)


class FakeService(ModelService):
    """Plays ``script`` for every request: chunks are yielded, errors raised, events waited for.

    ``ends`` gets one word for each request: ``done``, ``left`` or ``failed``. A unary one is served
    with ``unary_response`` once ``unary_gate`` is open, if there is one.
    """

    def __init__(self, *script: Step, models: Sequence[ModelSpec] = ()) -> None:
        self.script = script or GENERATION
        self.specs = models
        self.requests: list[GenerateRequest] = []
        self.unary_requests: list[AnyUnaryRequest] = []
        self.unary_response: AnyUnaryResponse | Exception = TextResponse(text="")
        self.unary_gate: asyncio.Event | None = None
        self.default = ""
        self.ends: list[str] = []
        self.calls: list[str] = []
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.start_gate: asyncio.Event | None = None
        self.start_error: Exception | None = None
        self.load_gate: asyncio.Event | None = None
        self.readiness = Readiness(ready=True, reason="ready")
        self.snapshot = ServiceStatus(
            state=ServiceState.RUNNING,
            instances=(),
            budget_bytes=None,
            held_bytes=0,
            margin_bytes=0,
            loads_total=0,
            evictions_total=0,
            uptime_s=1.0,
        )

    async def start(self) -> None:
        self.calls.append("start")
        if self.start_gate is not None:
            await self.start_gate.wait()
        if self.start_error is not None:
            raise self.start_error

    async def drain(self, timeout_s: float) -> None:
        self.calls.append(f"drain {timeout_s:g}")

    async def aclose(self) -> None:
        self.calls.append("aclose")

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        self.begun.set()
        end = "left"
        try:
            for step in self.script:
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, BaseException):
                    end = "failed"
                    raise step
                else:
                    yield step
            end = "done"
        finally:
            self.ends.append(end)
            self.ended.set()

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        self.unary_requests.append(request)
        self.begun.set()
        end = "left"
        try:
            if self.unary_gate is not None:
                await self.unary_gate.wait()
            end = "done"
        finally:
            self.ends.append(end)
            self.ended.set()
        if isinstance(self.unary_response, Exception):
            raise self.unary_response
        return self.unary_response

    async def models(self) -> Sequence[ModelSpec]:
        return self.specs

    async def default_model(self) -> str:
        return self.default

    async def refresh(self) -> Sequence[ModelSpec]:
        self.calls.append("refresh")
        return self.specs

    async def load(self, model: str, *, keep_alive_s: KeepAliveSeconds | None = None) -> None:
        self._known(model)
        kept = "" if keep_alive_s is None else f" for {keep_alive_s}"
        self.calls.append(f"load {model}{kept}")
        self.begun.set()
        try:
            if self.load_gate is not None:
                await self.load_gate.wait()
        except asyncio.CancelledError:
            self.calls.append(f"gave up {model}")
            self.ended.set()
            raise

    async def unload(self, model: str) -> None:
        self._known(model)
        self.calls.append(f"unload {model}")

    async def pin(self, model: str, *, pinned: bool) -> None:
        self._known(model)
        self.calls.append(f"{'pin' if pinned else 'unpin'} {model}")

    async def status(self) -> ServiceStatus:
        return self.snapshot

    async def ready(self, model: str | None = None) -> Readiness:
        if model is not None:
            self._known(model)
        return self.readiness

    async def plugins(self) -> Sequence[PluginStatus]:
        return (
            PluginStatus(name="good", distribution="d", version="1", state="active"),
            PluginStatus(name="bad", distribution="", version="", state="broken", reason="why"),
        )

    def _known(self, model: str) -> None:
        if model not in {spec.id for spec in self.specs}:
            raise ModelNotFoundError(f"no model {model!r}", field="model")


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
