# SPDX-License-Identifier: GPL-3.0-only
"""A plugin with something at every seam, wrong where and how a test says, and one that is sound."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, TypeAlias

from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modeld import (
    Backend,
    Candidate,
    Capability,
    Chunk,
    Done,
    Engine,
    EngineHost,
    EvictionPolicy,
    FinishReason,
    GenerateRequest,
    MemoryEstimate,
    ModelSpec,
    Observer,
    Options,
    OutputFormatter,
    RegistrySource,
    Token,
    Usage,
    hookimpl,
)
from modeld.dialects import (
    Call,
    Dialect,
    DialectRoute,
    GenerationRoute,
    StreamEncoder,
    WholeResponse,
)
from modeld.dialects.body import Strict
from modeld.errors import ModeldError, WorkerCrashedError
from modeld.events import Event
from modeld.requests import AnyUnaryRequest
from modeld.responses import AnyUnaryResponse, Piece, TokenizeResponse
from tests.support.hosting.rigged import RIG, options
from tests.support.serving.fakes import MIB, FakeEngine, Oldest
from tests.support.serving.sources import Shelf, a_spec

Fault: TypeAlias = Callable[[], Any]

Faults: TypeAlias = dict[str, Fault]
"""What is to happen in the place of a hook, by the hook's name."""

SAID = (Token(text="well"), Done(finish_reason=FinishReason.STOP, usage=Usage()))


class Faulty(Backend):
    """Does well but for what the test has put in the place of one of its hooks.

    ``workers`` is how many workers each load starts and keeps.
    """

    name = "faulty"

    def __init__(self, workers: int, faults: Faults | None = None) -> None:
        self.workers = workers
        self.faults: Faults = {} if faults is None else faults
        self.options_type = options_of(self)  # type: ignore[misc]  # of this one alone

    def capabilities(self, spec: ModelSpec, options: Options) -> Any:
        return self.do("capabilities", lambda: frozenset(Capability))

    def do(self, hook: str, otherwise: Callable[[], Any]) -> Any:
        return self.faults.get(hook, otherwise)()

    def can_load(self, spec: ModelSpec) -> bool:
        return bool(self.do("can_load", lambda: True))

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        good = MemoryEstimate(weights_bytes=90 * MIB)
        return self.do("estimate", lambda: good)  # type: ignore[no-any-return]

    async def measure(
        self, spec: ModelSpec, options: Options, host: EngineHost
    ) -> MemoryEstimate | None:
        if "measure" in self.faults:
            await self.start_workers(spec, host)
        return await awaited(self.do("measure", lambda: None))  # type: ignore[no-any-return]

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        inner = await self.start_workers(spec, host)
        return await awaited(self.do("load", lambda: Facade(self, inner)))  # type: ignore[no-any-return]

    async def start_workers(self, spec: ModelSpec, host: EngineHost) -> Sequence[Engine]:
        return [await host.start(RIG, spec, options()) for _ in range(self.workers)]


def options_of(backend: Faulty) -> type[Options]:
    """Return options that do what the backend's faults say as soon as they are made."""

    class FaultyOptions(Options, frozen=True, kw_only=True):
        def __post_init__(self) -> None:
            backend.do("options", lambda: None)

    return FaultyOptions


class Facade(Engine):
    """An engine of the backend's own before the workers that it has started."""

    def __init__(self, backend: Faulty, inner: Sequence[Engine]) -> None:
        self._do = backend.do
        self._inner = inner
        self._never = asyncio.Event()

    slots = property(lambda self: self._do("slots", lambda: 1))  # type: ignore[assignment]
    held_bytes = property(lambda self: self._do("held_bytes", lambda: 80 * MIB))  # type: ignore[assignment]
    pid = property(lambda self: self._do("pid", lambda: None))  # type: ignore[assignment]

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        for chunk in await awaited(self._do("generate", lambda: SAID)):
            yield chunk

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        return await awaited(self._do("submit", lambda: TokenizeResponse(ids=(1,))))  # type: ignore[no-any-return]

    async def aclose(self) -> None:
        await awaited(self._do("aclose", lambda: None))
        for engine in self._inner:
            await engine.aclose()

    async def wait_exited(self) -> WorkerCrashedError:
        return await awaited(self._do("wait_exited", self._never.wait))  # type: ignore[no-any-return]

    def failure(self) -> WorkerCrashedError | None:
        return self._do("failure", lambda: None)  # type: ignore[no-any-return]

    def log_tail(self) -> tuple[str, ...]:
        return self._do("log_tail", lambda: ("a line",))  # type: ignore[no-any-return]


class Whim(EvictionPolicy):
    """Chooses as the backend's faults say."""

    name = "whim"

    def __init__(self, backend: Faulty) -> None:
        self._backend = backend

    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        right = Oldest().choose
        return self._backend.do("choose", lambda: right(candidates, needed_bytes))  # type: ignore[no-any-return]


async def awaited(value: Any) -> Any:
    return await value if hasattr(type(value), "__await__") else value


def raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


def returning(value: Any) -> Callable[[], Any]:
    return lambda: value


class Escape(BaseException):
    """What nobody catches who catches exceptions."""


class UnspeakableError(Exception):
    """Cannot be written."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


ERRORS: dict[str, Callable[[], Any]] = {
    type(error).__name__: raising(error)
    for error in (
        RuntimeError("the test"),
        UnspeakableError(),
        KeyboardInterrupt("the test"),
        SystemExit(3),
        GeneratorExit("the test"),
        asyncio.CancelledError("the test"),
        Escape("the test"),
        ExceptionGroup("some", [ValueError("the test")]),
        BaseExceptionGroup("some", [KeyboardInterrupt("the test")]),
    )
}
NONSENSE: dict[str, Callable[[], Any]] = {
    repr(value): returning(value)
    for value in ("8", 1.5, math.nan, math.inf, -1, True, b"x", [1], 2**70, {})
} | {"None": returning(None), "object": object}


class Everything:
    """A plugin with something at every seam; all of them share ``faults``.

    Its middleware, its route and its dialect are at addresses below ``/zoo``; its models are of the
    family ``faulty``.
    """

    def __init__(self, workers: int = 0) -> None:
        self.faults: Faults = {}
        self.backend = Faulty(workers, self.faults)

    def do(self, hook: str, otherwise: Callable[[], Any]) -> Any:
        return self.faults.get(hook, otherwise)()

    @hookimpl
    def modeld_register_backends(self) -> Sequence[Backend]:
        return [self.backend]

    @hookimpl
    def modeld_register_sources(self) -> Sequence[RegistrySource]:
        return [FaultySource(self)]

    @hookimpl
    def modeld_register_eviction_policies(self) -> Sequence[EvictionPolicy]:
        return [Whim(self.backend)]

    @hookimpl
    def modeld_register_formatters(self) -> Sequence[OutputFormatter]:
        return [FaultyFormatter(self)]

    @hookimpl
    def modeld_register_observers(self) -> Sequence[Observer]:
        return [FaultyObserver(self)]

    @hookimpl
    def modeld_register_routes(self) -> Sequence[Route]:
        async def serve(_request: Request) -> Response:
            return self.do("route", lambda: Response("zoo"))  # type: ignore[no-any-return]

        return [Route("/zoo/route", serve)]

    @hookimpl
    def modeld_register_dialects(self) -> Sequence[Dialect]:
        return [FaultyDialect(self)]

    @hookimpl
    def modeld_register_middleware(self) -> Sequence[Middleware]:
        return [Middleware(FaultyMiddleware, plugin=self)]

    @hookimpl
    def modeld_choose_backend(self, spec: ModelSpec) -> Backend | None:
        is_ours = spec.family == "faulty"
        return self.do("choose_backend", lambda: None) if is_ours else None


class FaultySource(RegistrySource):
    name = "faulty"

    def __init__(self, plugin: Everything) -> None:
        self._plugin = plugin

    async def list_models(self) -> Sequence[ModelSpec]:
        specs = [a_spec(model, family="faulty") for model in ("a", "b")]
        return await awaited(self._plugin.do("list_models", lambda: specs))  # type: ignore[no-any-return]


class FaultyFormatter(OutputFormatter):
    name = "faulty"
    media_type = "text/zoo"

    def __init__(self, plugin: Everything) -> None:
        self._plugin = plugin

    def encode(self, chunk: Chunk) -> bytes:
        return self._plugin.do("encode", lambda: b"well")  # type: ignore[no-any-return]

    def encode_error(self, error: ModeldError, status: int) -> bytes:
        return self._plugin.do("encode_error", lambda: b"badly")  # type: ignore[no-any-return]


class FaultyObserver(Observer):
    name = "faulty"

    def __init__(self, plugin: Everything) -> None:
        self._plugin = plugin

    def notify(self, event: Event) -> None:
        self._plugin.do("notify", lambda: None)


class FaultyMiddleware:
    """Fails on the way in or on the way out of the addresses below ``/zoo``."""

    def __init__(self, app: ASGIApp, plugin: Everything) -> None:
        self._app = app
        self._plugin = plugin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope.get("path", "").startswith("/zoo"):
            await self._app(scope, receive, send)
            return
        self._plugin.do("middleware", lambda: None)

        async def send_out(message: Message) -> None:
            self._plugin.do("middleware_send", lambda: None)
            await send(message)

        await self._app(scope, receive, send_out)


class Said(Strict):
    """The body of a request in the faulty dialect."""

    text: str


class Oops(BaseModel):
    """How an error looks in it."""

    oops: str


class FaultyEncoder(StreamEncoder):
    media_type = "text/plain"

    def __init__(self, plugin: Everything) -> None:
        self._plugin = plugin

    def piece(self, index: int, piece: Piece) -> bytes:
        return self._plugin.do("piece", lambda: b"well")  # type: ignore[no-any-return]

    def done(self, index: int, done: Done) -> bytes:
        return self._plugin.do("done", lambda: b"")  # type: ignore[no-any-return]

    def last(self) -> bytes:
        return self._plugin.do("last", lambda: b"")  # type: ignore[no-any-return]

    def failure(self, error: ModeldError, status: int) -> bytes:
        return self._plugin.do("failure_text", lambda: b"badly")  # type: ignore[no-any-return]


class FaultyDialect(Dialect):
    name = "faulty"
    prefixes = ("/zoo",)
    error_body = Oops

    def __init__(self, plugin: Everything) -> None:
        self._plugin = plugin

    def routes(self) -> Sequence[DialectRoute]:
        route = GenerationRoute(
            path="/zoo/say",
            name="zoo_say",
            summary="Say it",
            body=Said,
            requests=self._requests,
            encoder=lambda _body, _call: self._plugin.do(
                "encoder", lambda: FaultyEncoder(self._plugin)
            ),
        )
        return (route,)

    def error(self, error: ModeldError, status: int, request_id: str) -> WholeResponse:
        told = WholeResponse.of({"oops": error.message}, status)
        return self._plugin.do("error", lambda: told)  # type: ignore[no-any-return]

    def _requests(self, body: Said, _call: Call) -> Sequence[GenerateRequest]:
        requests = [GenerateRequest(model="sound", prompt=body.text)]
        return self._plugin.do("requests", lambda: requests)  # type: ignore[no-any-return]


class SoundEngine(FakeEngine):
    """Says that it is well."""

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        for chunk in SAID:
            yield chunk


class SoundBackend(Backend):
    """Serves the models of no family."""

    name = "sound"

    def can_load(self, spec: ModelSpec) -> bool:
        return not spec.family

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        return MemoryEstimate(weights_bytes=MIB)

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        return SoundEngine(held_bytes=MIB)


class Sound:
    """A plugin without a fault, with a model of its own, ``sound``."""

    @hookimpl
    def modeld_register_backends(self) -> Sequence[Backend]:
        return [SoundBackend()]

    @hookimpl
    def modeld_register_sources(self) -> Sequence[RegistrySource]:
        return [Shelf(a_spec("sound"), name="sound")]
