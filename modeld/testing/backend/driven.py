# SPDX-License-Identifier: GPL-3.0-only
"""Drives a step engine on a thread of this process, and passes over nothing it does wrong."""

from __future__ import annotations

import asyncio
import functools
import itertools
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final, TypeVar

from modeld import Chunk, Done, Engine, Failed, GenerateRequest, ModelSpec, StepEngine
from modeld.errors import (
    DrainingError,
    LoadFailedError,
    ModeldError,
    WorkerCrashedError,
    error_from_code,
)
from modeld.interfaces import ReportProgress
from modeld.requests import AnyRequest, AnyUnaryRequest
from modeld.responses import PIECES, AnyUnaryResponse, StepChunk

T = TypeVar("T")

LEAD: Final = 4
"""How many chunks an engine is ahead of its clients when all of them are behind: then it waits, so
that who leaves in the middle of a generation finds it there."""


class DrivenEngine(Engine):
    """Runs a step engine as a worker does: one thread, commands between steps.

    ``strays`` are what came under an id that nobody waits for, which modeld would drop;
    ``longest_step_s`` is how long the longest step took.
    """

    def __init__(self) -> None:
        self.strays: list[str] = []
        self.longest_step_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._running: dict[int, asyncio.Queue[object]] = {}
        self._ahead: dict[int, int] = {}
        self._ended: dict[int, str] = {}
        self._engine: StepEngine | None = None
        self._failure: WorkerCrashedError | None = None
        self._over = asyncio.Event()
        self._is_closing = False

    async def open(
        self,
        engine: type[StepEngine],
        spec: ModelSpec,
        options: Mapping[str, object],
        progress: ReportProgress,
    ) -> None:
        """Start the thread and open the engine there.

        Raises:
            ModeldError: as ``open`` raised it; anything else is a ``LoadFailedError``.
        """
        opened: asyncio.Future[None] = self._loop.create_future()

        def work() -> None:
            try:
                self._engine = engine.open(spec, options, progress)
            except BaseException as exc:  # noqa: BLE001  (any exception fails the load)
                self._tell(_fail, opened, _load_failure(exc))
                self._tell(self._over.set)
                return
            self._tell(_succeed, opened)
            self._serve(self._engine)

        threading.Thread(target=work, name=f"driven-{spec.id}", daemon=True).start()
        await opened
        assert self._engine is not None
        self.slots, self.held_bytes = self._engine.slots, self._engine.held_bytes

    async def alone(self, work: Callable[[StepEngine], T]) -> T:
        """Do something with the engine itself, on its thread, and return what comes of it."""
        done: asyncio.Future[T] = self._loop.create_future()

        def command() -> None:
            assert self._engine is not None
            try:
                result = work(self._engine)
            except BaseException as exc:  # noqa: BLE001  (it belongs to whoever waits)
                self._tell(_fail, done, exc)
            else:
                self._tell(_succeed, done, result)

        self._commands.put(command)
        return await done

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Hand the request over and yield what comes under its id."""
        request_id, chunks = self._handed_over(request)
        try:
            while True:
                chunk = await self._next(chunks)
                self._commands.put(functools.partial(self._taken, request_id))
                assert isinstance(chunk, (*PIECES, Done)), f"{chunk!r} is no part of a generation"
                yield chunk
                if isinstance(chunk, Done):
                    return
        finally:
            self._give_up(request_id)

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        """Hand the request over and return what comes under its id."""
        request_id, chunks = self._handed_over(request)
        try:
            response = await self._next(chunks)
            assert isinstance(response, AnyUnaryResponse), f"{response!r} is no unary response"
            return response
        finally:
            self._give_up(request_id)

    async def aclose(self) -> None:
        """Close the engine on its thread and wait until that is over."""
        self._commands.put(self._close)
        await self._over.wait()

    def failure(self) -> WorkerCrashedError | None:
        """Return how the engine has died, if it has."""
        return self._failure

    async def _next(self, chunks: asyncio.Queue[object]) -> object:
        chunk = await chunks.get()
        if isinstance(chunk, Failed):
            raise error_from_code(chunk.code, chunk.message, field=chunk.field)
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk

    def _handed_over(self, request: AnyRequest) -> tuple[int, asyncio.Queue[object]]:
        if self._over.is_set():
            raise self._failure or DrainingError("the engine is closed")
        request_id, chunks = next(self._ids), asyncio.Queue[object]()

        def command() -> None:
            assert self._engine is not None
            try:
                self._engine.submit(request_id, request)
            except BaseException as exc:  # noqa: BLE001  (it belongs to the request)
                self._tell(chunks.put_nowait, exc)
            else:
                self._running[request_id] = chunks
                self._ahead[request_id] = 0

        self._commands.put(command)
        return request_id, chunks

    def _give_up(self, request_id: int) -> None:
        def command() -> None:
            if self._running.pop(request_id, None) is not None:
                self._ended[request_id] = "cancelled"
                assert self._engine is not None
                self._engine.cancel(request_id)

        if request_id in self._running and self._engine is not None:
            self._engine.interrupt(request_id)
        self._commands.put(command)

    def _close(self) -> None:
        self._is_closing = True

    def _taken(self, request_id: int) -> None:
        self._ahead[request_id] -= 1

    def _serve(self, engine: StepEngine) -> None:
        """Take commands and do steps until it is closed; this is the thread."""
        try:
            while not self._is_closing:
                if all(self._ahead[each] >= LEAD for each in self._running):
                    self._commands.get()()
                while not self._commands.empty() and not self._is_closing:
                    self._commands.get()()
                if self._running and not self._is_closing:
                    self._step(engine)
            engine.close()
        except BaseException as exc:  # noqa: BLE001  (a worker would end here)
            self._failure = WorkerCrashedError(f"the engine raised {type(exc).__name__}: {exc}")
        end = self._failure or DrainingError("the engine is closed")
        for chunks in self._running.values():
            self._tell(chunks.put_nowait, end)
        self._tell(self._over.set)

    def _step(self, engine: StepEngine) -> None:
        began_s = time.monotonic()
        produced = engine.step()
        self.longest_step_s = max(self.longest_step_s, time.monotonic() - began_s)
        for request_id, chunk in produced:
            chunks = self._running.get(request_id)
            if chunks is None:
                said = self._ended.get(request_id, "never there")
                self.strays.append(f"{_named(chunk)} for a request that was {said}")
                continue
            self._ahead[request_id] += 1
            if not isinstance(chunk, PIECES):
                del self._running[request_id]
                self._ended[request_id] = "over"
            self._tell(chunks.put_nowait, chunk)

    def _tell(self, call: Callable[..., object], *args: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *args)


def _named(chunk: StepChunk | AnyUnaryResponse) -> str:
    return f"a {type(chunk).__name__}"


def _succeed(future: asyncio.Future[T], result: T | None = None) -> None:
    if not future.done():
        future.set_result(result)  # type: ignore[arg-type]  # `open` waits for no value


def _fail(future: asyncio.Future[T], exc: BaseException) -> None:
    if not future.done():
        future.set_exception(exc)


def _load_failure(exc: BaseException) -> ModeldError:
    if isinstance(exc, ModeldError):
        return exc
    failure = LoadFailedError(f"open raised {type(exc).__name__}: {exc}")
    failure.__cause__ = exc
    return failure
