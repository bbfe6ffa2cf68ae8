# SPDX-License-Identifier: GPL-3.0-only
"""A step engine that runs elsewhere, as an :class:`Engine` of the event loop.

How it is reached (a process, a thread) is the :class:`~modeld.hosting.link.Link`'s business; ids,
mailboxes, cancellation and the watch for stalls are here, once for all links.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeVar

from modeld.errors import (
    DrainingError,
    InvalidRequestError,
    WorkerCrashedError,
    error_from_code,
)
from modeld.hosting.frames import (
    Ask,
    Cancel,
    Cancelled,
    Close,
    Command,
    FrameError,
    Report,
    Sent,
    Stepped,
    Submit,
)
from modeld.hosting.link import Link
from modeld.hosting.mailbox import Mailbox
from modeld.hosting.vectors import Vectors
from modeld.hosting.watchdog import Watchdog
from modeld.interfaces import Engine
from modeld.questions import (
    AnyQuestion,
    ApplyTemplateQuestion,
    DetokenizeQuestion,
    EmbedQuestion,
    Question,
    Ranking,
    Reply,
    RerankQuestion,
    Text,
    TokenizeQuestion,
    Tokens,
)
from modeld.values import Chunk, Done, Failed, GenerateRequest, Token, Value

REPLIES: Final[Mapping[type[Question], type[Vectors | Ranking | Tokens | Text]]] = {
    EmbedQuestion: Vectors,
    RerankQuestion: Ranking,
    TokenizeQuestion: Tokens,
    DetokenizeQuestion: Text,
    ApplyTemplateQuestion: Text,
}
"""The reply that goes with each question."""

E = TypeVar("E", bound=Value)


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
        with self._handed_over(partial(Submit, request=request)) as mailbox:
            while True:
                await mailbox.wait()
                while mailbox.chunks:
                    chunk = mailbox.take()
                    if isinstance(chunk, Token):
                        yield chunk
                    else:
                        yield await self._end(mailbox, chunk, Done)
                        return

    async def ask(self, question: AnyQuestion) -> Reply:
        """Pass the question on and return what comes back under its id."""
        expected = REPLIES[type(question)]
        with self._handed_over(partial(Ask, question=question)) as mailbox:
            await mailbox.wait()
            reply = await self._end(mailbox, mailbox.take(), expected)
        if not isinstance(reply, Vectors):
            return reply
        try:
            return await reply.unpack()
        except ValueError as exc:
            raise await self._garbage(str(exc)) from exc

    @contextmanager
    def _handed_over(self, command: Callable[..., Submit | Ask]) -> Iterator[Mailbox]:
        """Tell the engine under a new id; on leaving before the end, tell it to give up."""
        failure = self.failure()
        if failure is not None:
            raise failure
        request_id = next(self._ids)
        mailbox = self._mailboxes[request_id] = Mailbox()
        self._watchdog.started(request_id, self._clock())
        self._watch()
        try:
            self._send(command(id=request_id))
            mailbox.is_open = True
            yield mailbox
        finally:
            del self._mailboxes[request_id]
            self._watchdog.ended(request_id)
            if mailbox.is_open and not self._link.exited.done():
                self._watchdog.cancelling(request_id, self._clock())
                self._link.send(Cancel(id=request_id))

    def _send(self, command: Command) -> None:
        try:
            self._link.send(command)
        except FrameError as exc:
            raise InvalidRequestError(f"the request cannot be handed to a worker: {exc}") from exc

    async def _end(self, mailbox: Mailbox, chunk: Sent, expected: type[E]) -> E:
        """The end of a request or question, if it is what ``expected`` says."""
        mailbox.is_open = False
        if isinstance(chunk, Failed):
            raise error_from_code(chunk.code, chunk.message, field=chunk.field)
        if isinstance(chunk, expected):
            return chunk
        found, due = type(chunk).__name__, expected.__name__
        raise await self._garbage(f"{found} where {due} was due")

    async def _garbage(self, what: str) -> WorkerCrashedError:
        """End the worker, because nothing that it sends can be trusted."""
        self._link.kill(f"it sent {what}", "garbage")
        return await self.wait_exited()

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
