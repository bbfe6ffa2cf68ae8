# SPDX-License-Identifier: GPL-3.0-only
"""A backend's own engine behind a wall: whatever it does stays its fault and its model's."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from itertools import islice
from typing import Final, TypeVar

import msgspec

from modeld.errors import InternalError, WorkerCrashedError
from modeld.hosting.hosted import RESPONSES, HostedEngine
from modeld.hosting.loading import LoadingHost
from modeld.interfaces import Engine
from modeld.plugin_guard import PluginCall, PluginFault, called, described, is_ours, shown, whole
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

CLOSE_LIMIT_S: Final = 30.0
"""How long an engine of a backend's own may take to close before it is left behind."""

KEPT_LINES: Final = 20
MAX_LINE_CHARACTERS: Final = 500

log = logging.getLogger("modeld.loader")

_encoder = msgspec.msgpack.Encoder()
_chunk: Final[msgspec.msgpack.Decoder[object]] = msgspec.msgpack.Decoder(Chunk)
_usage: Final[msgspec.msgpack.Decoder[object]] = msgspec.msgpack.Decoder(Usage)

T = TypeVar("T")


async def contained(engine: object, host: LoadingHost, backend: str) -> Engine:
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
    wall = ContainedEngine(engine, host, backend)
    wall.read()
    return wall


class ContainedEngine(Engine):
    """Passes on what keeps to :class:`~modeld.interfaces.Engine`, and makes errors of the rest.

    An engine that cannot say how it is counts as dead.
    """

    def __init__(self, engine: Engine, host: LoadingHost, backend: str) -> None:
        self._engine = engine
        self._host = host
        self._backend = backend
        self._death: WorkerCrashedError | None = None
        self._told: set[str] = set()

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
        pid = self._called("pid", lambda: engine.pid, None)
        self.pid = None if pid is None else self._called("pid", lambda: whole("it", pid, 1), None)

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
        try:
            response: object = await self._engine.submit(request)
        except Exception:
            raise
        except BaseException as exc:
            if is_ours(exc):
                raise
            raise self._refusal("submit", exc) from exc
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
        call = PluginCall(self._name("aclose"), self._engine.aclose)
        try:
            is_closed = await call.wait(CLOSE_LIMIT_S)
        finally:
            await call.give_up()
            await self._host.aclose()
        if not is_closed:
            raise PluginFault(f"{self._name('aclose')} took longer than {CLOSE_LIMIT_S:g} s")
        called(self._name("aclose"), call.result)

    async def wait_exited(self) -> WorkerCrashedError:
        """Wait until the engine has died, or can no longer say whether it has."""
        try:
            death: object = await self._engine.wait_exited()
        except BaseException as exc:
            if is_ours(exc):
                raise
            death = exc
        self._death = self._death or self._as_death("wait_exited", death)
        return self._death

    def failure(self) -> WorkerCrashedError | None:
        """Return how the engine has died, if it has or cannot say."""
        if self._death is None:
            try:
                death: object = self._engine.failure()
            except BaseException as exc:  # noqa: BLE001  (a plugin's fault must not stop the server)
                death = exc
            if death is not None:
                self._death = self._as_death("failure", death)
        return self._death

    def log_tail(self) -> tuple[str, ...]:
        """Return the last lines that the engine keeps; none where it cannot say."""
        return self._called("log_tail", lambda: _lines(self._engine.log_tail()), ())

    async def _passed_on(
        self, generate: Callable[[], AsyncGenerator[Chunk, None]]
    ) -> AsyncGenerator[Chunk, None]:
        chunks = called(self._name("generate"), generate)
        try:
            while True:
                chunk = await self._next(chunks)
                yield chunk
                if isinstance(chunk, Done):
                    return
        finally:
            await self._end(chunks)

    async def _next(self, chunks: AsyncGenerator[Chunk, None]) -> Chunk:
        try:
            chunk: object = await anext(chunks)
        except StopAsyncIteration:
            raise InternalError(f"{self._name('generate')} ended without a Done") from None
        except Exception:
            raise
        except BaseException as exc:
            if is_ours(exc):
                raise
            raise self._refusal("generate", exc) from exc
        if isinstance(chunk, (*PIECES, Done)):
            self._check("generate", chunk, _chunk)
            return chunk
        raise InternalError(f"{self._name('generate')} yielded {shown(chunk)}, which is no chunk")

    async def _end(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        try:
            await chunks.aclose()
        except BaseException as exc:
            if is_ours(exc):
                raise
            log.exception("%s did not end cleanly", self._name("generate"))

    def _check(self, hook: str, value: object, decoder: msgspec.msgpack.Decoder[object]) -> None:
        """Refuse wrong members, as a worker's frame would: a struct takes whatever it is made with.

        What is counted of them is in the status of all models.
        """
        try:
            decoder.decode(_encoder.encode(value))
        except Exception as exc:
            raise InternalError(f"{self._name(hook)} said what is wrong: {described(exc)}") from exc

    def _refusal(self, hook: str, exc: BaseException) -> InternalError:
        """Return what one request gets for what is no ``Exception``.

        Raised as it is, a ``SystemExit`` of a plugin would end the event loop.
        """
        return InternalError(f"{self._name(hook)} raised {described(exc)}")

    def _as_death(self, hook: str, death: object) -> WorkerCrashedError:
        """Return a death as one of modeld's errors, whatever the engine has raised or returned."""
        if isinstance(death, WorkerCrashedError):
            error = WorkerCrashedError(str(death.message), retry_after_s=death.retry_after_s)
            error.cause = str(death.cause)
            return error
        said = described(death) if isinstance(death, BaseException) else shown(death)
        return WorkerCrashedError(f"{self._name(hook)} can no longer be relied on: {said}")

    def _called(self, hook: str, call: Callable[[], T], default: T) -> T:
        """Return what the engine says, or the default and, the first time, a line in the log."""
        try:
            return called(hook, call)
        except Exception as exc:  # noqa: BLE001  (a plugin's fault must not stop the server)
            if hook not in self._told:
                self._told.add(hook)
                log.warning("%s cannot be used: %s", self._name(hook), exc)
            return default

    def _name(self, hook: str) -> str:
        return f"backend {self._backend!r}: its engine's {hook}"


def _lines(tail: object) -> tuple[str, ...]:
    if isinstance(tail, str | bytes) or not isinstance(tail, Iterable):
        raise PluginFault(f"it returned {shown(tail)}, not lines")
    lines = (str(line)[:MAX_LINE_CHARACTERS] for line in islice(tail, KEPT_LINES))
    return tuple(line.encode(errors="backslashreplace").decode() for line in lines)
