# SPDX-License-Identifier: GPL-3.0-only
"""A step engine that runs elsewhere, as an :class:`Engine` of the event loop.

How it is reached (a process, a thread) is the business of the
:class:`~modeld.hosting.channel.link.Link`; ids, mailboxes, cancellation and the watch for stalls
are here, once for all links.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeVar

from modeld.errors import (
    DrainingError,
    InvalidRequestError,
    WorkerCrashedError,
    error_from_code,
)
from modeld.hosting.channel.frames import (
    Cancel,
    Cancelled,
    Close,
    Command,
    Credit,
    FrameError,
    Report,
    Sent,
    Stepped,
    Submit,
)
from modeld.hosting.channel.link import Link
from modeld.hosting.channel.mailbox import Mailbox
from modeld.hosting.channel.vectors import Vectors
from modeld.hosting.hang_watch import HangWatch
from modeld.interfaces import Engine
from modeld.requests import (
    AnyRequest,
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    GenerateRequest,
    RerankRequest,
    TokenizeRequest,
    UnaryRequest,
)
from modeld.responses import (
    PIECES,
    AnyUnaryResponse,
    Chunk,
    Done,
    Failed,
    RerankResponse,
    TakePiece,
    TextResponse,
    Token,
    TokenizeResponse,
)
from modeld.values import Value

RESPONSES: Final[
    Mapping[type[UnaryRequest], type[Vectors | RerankResponse | TokenizeResponse | TextResponse]]
] = {
    EmbedRequest: Vectors,
    RerankRequest: RerankResponse,
    TokenizeRequest: TokenizeResponse,
    DetokenizeRequest: TextResponse,
    ApplyTemplateRequest: TextResponse,
}
"""The response that goes with each unary request, as it comes over the channel."""

CHUNKS_PER_TURN: Final = 32
"""How many chunks that wait are taken at once before others have a turn."""

E = TypeVar("E", bound=Value)


class HostedEngine(Engine):
    """An engine at the other end of a link, already loaded."""

    def __init__(
        self,
        link: Link,
        *,
        slots: int,
        held_bytes: int,
        held_on_gpus: Mapping[str, int],
        stall_timeout_s: float,
        cancel_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = slots
        self.held_bytes = held_bytes
        self.held_on_gpus = held_on_gpus
        self.pid = link.pid
        self._link = link
        self._ids = itertools.count(1)
        self._mailboxes: dict[int, Mailbox] = {}
        self._watchdog = HangWatch(
            stall_timeout_s, cancel_timeout_s, lambda why: link.kill(why, "stall"), clock
        )
        link.on_report = self._on_report
        link.exited.add_done_callback(self._on_exited)

    def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Pass the request on and yield what comes back under its id."""
        return self.stream(request, lambda _end: None)

    def stream(
        self, request: GenerateRequest, on_end: Callable[[Done | Failed], None]
    ) -> AsyncGenerator[Chunk, None]:
        """Generate, and call ``on_end`` when the worker has said that it is done."""
        return self.stream_to(request, on_end, None)

    async def stream_to(
        self,
        request: GenerateRequest,
        on_end: Callable[[Done | Failed], None],
        take: TakePiece | None,
    ) -> AsyncGenerator[Chunk, None]:
        """Generate, and offer pieces to ``take`` as they come from the worker."""
        with self._handed_over(request, on_end) as mailbox:
            mailbox.take_piece = take
            taken = 0
            while True:
                await mailbox.wait()
                while mailbox.chunks:
                    chunk = mailbox.take()
                    if type(chunk) is Token or isinstance(chunk, PIECES):  # nearly all are tokens
                        # Offered twice, a piece would be encoded twice by who remembers the first.
                        if take is None or mailbox.is_refused or not take(chunk):
                            mailbox.is_refused = False
                            yield chunk
                            continue
                        taken += 1
                        if taken % CHUNKS_PER_TURN == 0:
                            await asyncio.sleep(0)
                    else:
                        yield await self._end(chunk, Done)
                        return

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        """Pass a unary request on and return what comes back under its id."""
        expected = RESPONSES[type(request)]
        with self._handed_over(request) as mailbox:
            await mailbox.wait()
            response = await self._end(mailbox.take(), expected)
        if not isinstance(response, Vectors):
            return response
        try:
            return await response.unpack()
        except ValueError as exc:
            raise await self._garbage(str(exc)) from exc

    @contextmanager
    def _handed_over(
        self,
        request: AnyRequest,
        on_end: Callable[[Done | Failed], None] = lambda _end: None,
    ) -> Iterator[Mailbox]:
        """Hand a request over under a new id; on leaving early, tell the engine to give it up."""
        failure = self.failure()
        if failure is not None:
            raise failure
        request_id = next(self._ids)
        loop = asyncio.get_running_loop()

        def grant(amount: int) -> None:
            self._link.send(Credit(id=request_id, amount=amount))

        def ended(end: Sent) -> None:
            self._watchdog.ended(request_id)  # whoever is slow to take it, the worker is done
            if isinstance(end, Done | Failed):
                loop.call_soon(on_end, end)  # what it raises is no fault of the channel

        mailbox = self._mailboxes[request_id] = Mailbox(grant, ended)
        self._watchdog.started(request_id)
        try:
            # Open only once it was sent: what never reached the worker must not be cancelled there,
            # or the watchdog would wait for an acknowledgement that cannot come.
            self._send(Submit(id=request_id, request=request))
            mailbox.is_open = True
            yield mailbox
        finally:
            # Without its mailbox, what the worker sends before it has read the Cancel is dropped.
            del self._mailboxes[request_id]
            self._watchdog.ended(request_id)
            if mailbox.is_open and not self._link.exited.done():
                self._watchdog.cancelling(request_id)
                self._link.send(Cancel(id=request_id))

    def _send(self, command: Command) -> None:
        try:
            self._link.send(command)
        except FrameError as exc:
            raise InvalidRequestError(f"the request cannot be handed to a worker: {exc}") from exc

    async def _end(self, chunk: Sent, expected: type[E]) -> E:
        """Return the end of a request, of the type ``expected``; raise what it failed with."""
        if isinstance(chunk, Failed):
            raise error_from_code(chunk.code, chunk.message, field=chunk.field, own=chunk.own)
        if isinstance(chunk, expected):
            return chunk
        found, due = type(chunk).__name__, expected.__name__
        raise await self._garbage(f"{found} where {due} was due")

    async def _garbage(self, what: str) -> WorkerCrashedError:
        """End the worker, whose frames cannot be trusted, and return the error that says so."""
        self._link.kill(f"it sent {what}", "garbage")
        return await self.wait_exited()

    async def aclose(self) -> None:
        """Close the engine, end its worker and wait until it is gone."""
        self._watchdog.stop()
        for mailbox in self._mailboxes.values():
            mailbox.fail(DrainingError("the server is shutting down"))
        self._link.send(Close())
        await self._link.aclose()

    async def wait_exited(self) -> WorkerCrashedError:
        """Wait until the worker is gone and return how it ended."""
        return await asyncio.shield(self._link.exited)

    def failure(self) -> WorkerCrashedError | None:
        """Return how the worker has ended, or ``None`` while it lives."""
        return self._link.exited.result() if self._link.exited.done() else None

    def log_tail(self) -> tuple[str, ...]:
        """Return the worker's last log lines."""
        return self._link.log_tail()

    def _on_report(self, report: Report) -> None:
        self._watchdog.progress()  # whatever it says: the worker lives
        match report:
            case Stepped(chunks=chunks):
                mailboxes, is_behind = self._mailboxes, self._link.is_behind
                for request_id, chunk in chunks:
                    mailbox = mailboxes.get(request_id)
                    if mailbox is None:
                        continue
                    if is_behind:
                        mailbox.put(chunk)
                    else:
                        mailbox.hand_over(chunk)
            case Cancelled(id=request_id):
                self._watchdog.cancelled(request_id)
            case _:
                self._link.kill(f"it sent {type(report).__name__} while serving", "garbage")

    def _on_exited(self, exited: asyncio.Future[WorkerCrashedError]) -> None:
        self._watchdog.stop()
        for mailbox in self._mailboxes.values():
            mailbox.fail(exited.result())
