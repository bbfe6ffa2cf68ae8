# SPDX-License-Identifier: GPL-3.0-only
"""A step engine that runs elsewhere, as an :class:`Engine` of the event loop.

How it is reached (a process, a thread) is the :class:`Link`'s business; request ids, mailboxes,
cancellation and the watch for stalls are here, once for all links.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Final

from modeld.errors import (
    ClientTooSlowError,
    DrainingError,
    InvalidRequestError,
    ModeldError,
    WorkerCrashedError,
    error_from_code,
)
from modeld.hosting.frames import (
    Cancel,
    Cancelled,
    Close,
    Command,
    FrameError,
    Report,
    Stepped,
    Submit,
)
from modeld.hosting.watchdog import Watchdog
from modeld.interfaces import Engine
from modeld.values import Chunk, Failed, GenerateRequest, StepChunk, Token

MAX_WAITING_CHUNKS: Final = 16_384
"""Most chunks that wait for one client; a client that falls further behind is given up."""


class Link(ABC):
    """The way to one worker. ``on_report`` is set by whoever holds the link.

    ``exited`` is done as soon as the worker is gone, however that came about.
    """

    pid: int | None = None

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[WorkerCrashedError] = loop.create_future()
        self.on_report: Callable[[Report], None] = lambda _report: None

    @abstractmethod
    def send(self, command: Command) -> None:
        """Pass a command on. After the worker's end it goes nowhere, without an error."""

    @abstractmethod
    def kill(self, why: str, cause: str) -> None:
        """End the worker at once; ``why`` and ``cause`` go into the error that its requests get."""

    @abstractmethod
    async def aclose(self) -> None:
        """End the worker and wait until it is gone. May be called twice."""

    def log_tail(self) -> tuple[str, ...]:
        """The worker's last log lines."""
        return ()


class Mailbox:
    """What an engine has produced for one request and its task has not taken yet."""

    __slots__ = ("_error", "_waiter", "chunks")

    def __init__(self) -> None:
        self.chunks: deque[StepChunk] = deque()
        self._error: ModeldError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, chunk: StepChunk) -> None:
        """Add a chunk, or end the stream if its reader is too far behind."""
        if self._error is not None:
            return
        if len(self.chunks) < MAX_WAITING_CHUNKS:
            self.chunks.append(chunk)
            if self._waiter is not None:
                self._wake()
        else:
            self.fail(ClientTooSlowError(f"{MAX_WAITING_CHUNKS} tokens wait to be taken"))

    def fail(self, error: ModeldError) -> None:
        """End the stream with an error, after what is already here."""
        self._error = self._error or error
        self._wake()

    async def wait(self) -> None:
        """Wait until :attr:`chunks` has something in it.

        Raises:
            ModeldError: there is nothing, and the stream has failed.
        """
        while not self.chunks:
            if self._error is not None:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None


class HostedEngine(Engine):
    """An engine at the other end of a link, already loaded."""

    def __init__(
        self,
        link: Link,
        *,
        slots: int,
        held_bytes: int,
        stall_timeout_s: float,
        cancel_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = slots
        self.held_bytes = held_bytes
        self.pid = link.pid
        self._link = link
        self._ids = itertools.count(1)
        self._mailboxes: dict[int, Mailbox] = {}
        self._watchdog = Watchdog(stall_timeout_s, cancel_timeout_s, clock())
        self._clock = clock
        self._tick: asyncio.TimerHandle | None = None
        link.on_report = self._on_report
        link.exited.add_done_callback(self._on_exited)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Pass the request on and yield what comes back under its id."""
        failure = self.failure()
        if failure is not None:
            raise failure
        request_id = next(self._ids)
        mailbox = self._mailboxes[request_id] = Mailbox()
        self._watchdog.started(request_id, self._clock())
        self._watch()
        running = False
        try:
            self._submit(request_id, request)
            running = True
            while running:
                await mailbox.wait()
                while running and mailbox.chunks:
                    chunk = mailbox.chunks.popleft()
                    running = isinstance(chunk, Token)
                    if isinstance(chunk, Failed):
                        raise error_from_code(chunk.code, chunk.message, field=chunk.field)
                    yield chunk
        finally:
            del self._mailboxes[request_id]
            self._watchdog.ended(request_id)
            if running and not self._link.exited.done():
                self._watchdog.cancelling(request_id, self._clock())
                self._link.send(Cancel(id=request_id))

    def _submit(self, request_id: int, request: GenerateRequest) -> None:
        try:
            self._link.send(Submit(id=request_id, request=request))
        except FrameError as exc:
            raise InvalidRequestError(f"the request cannot be handed to a worker: {exc}") from exc

    async def aclose(self) -> None:
        """Close the engine, end its worker and wait until it is gone."""
        if self._tick is not None:
            self._tick.cancel()
        for mailbox in self._mailboxes.values():
            mailbox.fail(DrainingError("the server is shutting down"))
        self._link.send(Close())
        await self._link.aclose()

    async def wait_exited(self) -> WorkerCrashedError:
        """Wait until the worker is gone."""
        return await asyncio.shield(self._link.exited)

    def failure(self) -> WorkerCrashedError | None:
        """How the worker has ended, if it has."""
        return self._link.exited.result() if self._link.exited.done() else None

    def log_tail(self) -> tuple[str, ...]:
        """The worker's last log lines."""
        return self._link.log_tail()

    def _on_report(self, report: Report) -> None:
        self._watchdog.progress(self._clock())
        match report:
            case Stepped(chunks=chunks):
                mailboxes = self._mailboxes
                for request_id, chunk in chunks:
                    mailbox = mailboxes.get(request_id)
                    if mailbox is not None:
                        mailbox.put(chunk)
            case Cancelled(id=request_id):
                self._watchdog.cancelled(request_id)
            case _:
                self._link.kill(f"it sent {type(report).__name__} while serving", "garbage")

    def _on_exited(self, exited: asyncio.Future[WorkerCrashedError]) -> None:
        if self._tick is not None:
            self._tick.cancel()
        for mailbox in self._mailboxes.values():
            mailbox.fail(exited.result())

    def _watch(self) -> None:
        if self._tick is None or self._tick.cancelled():
            loop = asyncio.get_running_loop()
            self._tick = loop.call_later(self._watchdog.interval_s, self._check)

    def _check(self) -> None:
        self._tick = None
        why = self._watchdog.check(self._clock())
        if why is not None:
            self._link.kill(why, "stall")
        elif self._watchdog.needed:
            self._watch()
