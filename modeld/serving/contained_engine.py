# SPDX-License-Identifier: GPL-3.0-only
"""Wraps a backend's own engine, so that its faults stay with it and its model."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from modeld.errors import DrainingError, InternalError, ModeldError, WorkerCrashedError
from modeld.hosting import last_words
from modeld.hosting.hang_watch import HangWatch
from modeld.hosting.hosted import RESPONSES, HostedEngine
from modeld.hosting.loading import LoadingHost
from modeld.interfaces import Engine
from modeld.plugins.faults import NoteFault, raised
from modeld.plugins.guard import PluginCall, PluginFault, called, described, on_gpus, shown, whole
from modeld.requests import AnyUnaryRequest, EmbedRequest, GenerateRequest
from modeld.responses import (
    PIECES,
    AnyUnaryResponse,
    Chunk,
    Done,
    EmbedResponse,
    Failed,
    RerankResponse,
    Usage,
)
from modeld.serving.own_generation import OwnGeneration

CLOSE_LIMIT_S: Final = 30.0
"""How long an engine of a backend's own may take to close before it is left behind."""

KEPT_LINES: Final = 20
MAX_LINE_CHARACTERS: Final = 500

_encoder = msgspec.msgpack.Encoder()
_chunk: Final[msgspec.msgpack.Decoder[object]] = msgspec.msgpack.Decoder(Chunk)
_usage: Final[msgspec.msgpack.Decoder[object]] = msgspec.msgpack.Decoder(Usage)

T = TypeVar("T")


async def contained(engine: object, host: LoadingHost, backend: str, note: NoteFault) -> Engine:
    """Return what a backend's load has returned, fit to be used.

    An engine of modeld's own goes through as it is. Workers that the load has started and left
    aside are ended now, or with the engine where that may run them.

    Raises:
        PluginFault: it is no engine, or says no sensible size of itself.
    """
    if isinstance(engine, HostedEngine) and host.has_started(engine):
        await host.aclose(keep=engine)
        return engine
    if not isinstance(engine, Engine):
        raise PluginFault(f"backend {backend!r} returned {shown(engine)}, not an engine")
    wall = ContainedEngine(engine, host, backend, note)
    wall.read()
    return wall


class ContainedEngine(Engine):
    """Passes on what keeps to :class:`~modeld.interfaces.Engine`, and makes errors of the rest.

    An engine that cannot say how it is counts as dead, and so does one that hangs, as a worker
    does. Its code runs in tasks of its own, which are left behind if they do not end.
    """

    def __init__(self, engine: Engine, host: LoadingHost, backend: str, note: NoteFault) -> None:
        self._engine = engine
        self._host = host
        self._backend = backend
        self._note = note
        self._told: set[str] = set()
        self._running: set[OwnGeneration] = set()
        self._is_closing = False
        self._ids = itertools.count(1)
        loop = asyncio.get_running_loop()
        self._died: asyncio.Future[WorkerCrashedError] = loop.create_future()
        self._watch = self._watched(host.settings.stall_timeout_s)

    def read(self) -> None:
        """Take over what it says of itself, once: a property may say something else later.

        Raises:
            PluginFault: its slots or its bytes are no whole numbers, or out of range.
        """
        engine, name = self._engine, f"backend {self._backend!r}: its engine's"
        slots = called(f"{name} slots", lambda: engine.slots)
        held_bytes = called(f"{name} held_bytes", lambda: engine.held_bytes)
        self.slots = whole(f"{name} slots", slots, 1)
        self.held_bytes = whole(f"{name} held_bytes", held_bytes, 0)
        held_on_gpus = called(f"{name} held_on_gpus", lambda: engine.held_on_gpus)
        self.held_on_gpus = on_gpus(f"{name} held_on_gpus", held_on_gpus, self.held_bytes)
        pid = self._called("pid", lambda: engine.pid, None)
        self.pid = None if pid is None else self._called("pid", lambda: whole("it", pid, 1), None)
        usual_s = self._host.settings.stall_timeout_s
        stall_timeout_s = self._called("stall_timeout_s", lambda: _limit(engine, usual_s), usual_s)
        self._watch = self._watched(stall_timeout_s)

    def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Yield what the engine yields, if it is what a request gets."""
        return self._passed_on(lambda: self._engine.generate(request))

    def stream(
        self, request: GenerateRequest, on_end: Callable[[Done | Failed], None]
    ) -> AsyncGenerator[Chunk, None]:
        """Yield what the engine yields, and let it say when the work is done."""
        return self._passed_on(lambda: self._engine.stream(request, on_end))

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        """Return the engine's response, if it is one and of the kind that goes with the request."""
        response = await self._submitted(request)
        # Hosted engines have their vectors packed on the way; these have them as they are.
        due = EmbedResponse if isinstance(request, EmbedRequest) else RESPONSES[type(request)]
        if not isinstance(response, AnyUnaryResponse) or not isinstance(response, due):
            said = f"{self._name('submit')} returned {shown(response)}"
            raise InternalError(f"{said} where a {due.__name__} was due")
        if isinstance(response, EmbedResponse | RerankResponse):
            self._check("submit", response.usage, _usage)
        return response

    async def aclose(self) -> None:
        """Close the engine, as far as it lets itself be closed, and all workers of its load.

        Raises:
            PluginFault: it did not close well or in time.
        """
        self._watch.stop()
        self._is_closing = True
        call = PluginCall(self._name("aclose"), self._engine.aclose)
        try:
            is_closed = await call.wait(CLOSE_LIMIT_S)
        finally:
            await call.give_up()
            await self._host.aclose()
            self._die(WorkerCrashedError("the model's engine was closed"), "closed")
        if not is_closed:
            raise PluginFault(f"{self._name('aclose')} took longer than {CLOSE_LIMIT_S:g} s")
        called(self._name("aclose"), call.result)

    async def wait_exited(self) -> WorkerCrashedError:
        """Wait until the engine has died, hangs, or can no longer say whether it lives."""
        call = PluginCall(self._name("wait_exited"), self._engine.wait_exited)
        try:
            if await call.wait_or(self._died) and not self._died.done():
                self._note_death("wait_exited", call.result)
        finally:
            if not call.is_over:
                call.cancel()
        return self._died.result()

    def failure(self) -> WorkerCrashedError | None:
        """Return how the engine has died, if it has, hangs, or cannot say."""
        if not self._died.done():
            self._note_death("failure", self._engine.failure)
        return self._died.result() if self._died.done() else None

    def log_tail(self) -> tuple[str, ...]:
        """Return the last lines that the engine keeps, and the traceback of how it has died."""
        nothing: tuple[str, ...] = ()
        kept = self._called("log_tail", lambda: _lines(self._engine.log_tail()), nothing)
        cause = self._died.result().__cause__ if self._died.done() else None
        return kept if cause is None else (*kept, *last_words.traceback_of(cause))

    async def _passed_on(
        self, generate: Callable[[], AsyncGenerator[Chunk, None]]
    ) -> AsyncGenerator[Chunk, None]:
        request_id, name = self._begun(), self._name("generate")
        own = OwnGeneration(name, generate, self._watch, request_id, self._note_bad_end)
        self._running.add(own)
        is_done = False
        try:
            while not is_done:
                chunk = self._chunk(await own.next(self._why_ended))
                is_done = isinstance(chunk, Done)
                yield chunk
        finally:
            self._running.discard(own)
            await self._leave(request_id, own.call, cancel=not is_done)

    async def _submitted(self, request: AnyUnaryRequest) -> object:
        request_id = self._begun()
        call = PluginCall(self._name("submit"), lambda: self._engine.submit(request))
        try:
            if not await call.wait_or(self._died) and (ended := self._why_ended()):
                raise ended
            return call.result()
        finally:
            await self._leave(request_id, call, cancel=True)

    def _why_ended(self) -> ModeldError | None:
        """Return why no request goes on: the engine has died, or is closed."""
        if self._is_closing:
            return DrainingError("the server is shutting down")
        return self._died.result() if self._died.done() else None

    def _begun(self) -> int:
        """Return the id of a request that is watched from now on."""
        if ended := self._why_ended():
            raise ended
        request_id = next(self._ids)
        self._watch.started(request_id)
        return request_id

    async def _leave(self, request_id: int, call: PluginCall[Any], *, cancel: bool) -> None:
        """Wait until the engine has let go of a request, or counts as dead for not doing so."""
        self._watch.ended(request_id)
        if call.is_over:
            return
        self._watch.cancelling(request_id)
        call.when_over(lambda: self._watch.cancelled(request_id))
        if cancel:
            call.cancel()
        await call.wait_or(self._died)

    def _chunk(self, chunk: object) -> Chunk:
        if isinstance(chunk, (*PIECES, Done)):
            self._check("generate", chunk, _chunk)
            return chunk
        raise InternalError(f"{self._name('generate')} yielded {shown(chunk)}, which is no chunk")

    def _note_bad_end(self, exc: BaseException) -> None:
        message = f"{self._name('generate')} did not end cleanly: {described(exc)}"
        self._note("backend", self._backend, message, exc)

    def _check(self, hook: str, value: object, decoder: msgspec.msgpack.Decoder[object]) -> None:
        """Refuse wrong members, as a worker's frame would: a struct takes whatever it is made with.

        What is counted of them is in the status of all models.
        """
        try:
            decoder.decode(_encoder.encode(value))
        except Exception as exc:
            raise InternalError(f"{self._name(hook)} said what is wrong: {described(exc)}") from exc

    def _watched(self, stall_timeout_s: float) -> HangWatch:
        def on_hang(why: str) -> None:
            self._die(WorkerCrashedError(f"the model's engine hangs: {why}"), "stall")

        clock = asyncio.get_running_loop().time
        return HangWatch(stall_timeout_s, self._host.settings.cancel_timeout_s, on_hang, clock)

    def _note_death(self, hook: str, ask: Callable[[], object]) -> None:
        """Ask the engine how it has died; whatever it raises or returns but ``None`` is a death."""
        try:
            death = ask()
        except BaseException as exc:  # noqa: BLE001  (a plugin's fault must not stop the server)
            death = exc
        if isinstance(death, WorkerCrashedError):
            error = WorkerCrashedError(str(death.message), retry_after_s=death.retry_after_s)
            self._die(error, str(death.cause))
        elif death is not None or hook == "wait_exited":
            cause = raised(death) if isinstance(death, BaseException) else None
            said = shown(death) if cause is None else described(cause)
            error = WorkerCrashedError(f"{self._name(hook)} can no longer be relied on: {said}")
            error.__cause__ = cause
            self._die(error, WorkerCrashedError.cause)

    def _die(self, error: WorkerCrashedError, cause: str) -> None:
        if not self._died.done():
            self._watch.stop()
            error.cause = cause
            self._died.set_result(error)
            for own in self._running:
                own.wake()

    def _called(self, hook: str, call: Callable[[], T], default: T) -> T:
        """Return what the engine says, or the default and, the first time, a line in the log."""
        try:
            return called(hook, call)
        except Exception as exc:  # noqa: BLE001  (a plugin's fault must not stop the server)
            if hook not in self._told:
                self._told.add(hook)
                message = f"{self._name(hook)} cannot be used: {exc}"
                self._note("backend", self._backend, message, exc)
            return default

    def _name(self, hook: str) -> str:
        return f"backend {self._backend!r}: its engine's {hook}"


def _limit(engine: Engine, usual_s: float) -> float:
    own_s: object = engine.stall_timeout_s
    if own_s is None:
        return usual_s
    if isinstance(own_s, int | float) and own_s > 0:
        return float(own_s)
    raise PluginFault(f"it is {shown(own_s)}, not a time in seconds")


def _lines(tail: object) -> tuple[str, ...]:
    if isinstance(tail, str | bytes) or not isinstance(tail, Iterable):
        raise PluginFault(f"it returned {shown(tail)}, not lines")
    lines = (str(line)[:MAX_LINE_CHARACTERS] for line in itertools.islice(tail, KEPT_LINES))
    return tuple(line.encode(errors="backslashreplace").decode() for line in lines)
