# SPDX-License-Identifier: GPL-3.0-only
"""One connection under uvicorn: its admission, its deadlines and its end.

A head or a body that does not arrive in time is answered with 408, a reader that takes nothing is
dropped, and whatever is refused gets a response that its client has time to read. Once a request
has arrived, no deadline runs but the reader's own, so streams may last, and reading goes on, so
that a client that leaves is noticed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from modeld.httpapi.exchange.exchange import DirectWrite, offer_direct_write
from modeld.httpapi.server.joined_writes import JoinedWrites
from modeld.httpapi.server.reader_deadline import ReaderDeadline
from modeld.httpapi.server.refusals import Refusals
from modeld.httpapi.server.request_head import RefusedError, too_many_connections, too_slow
from modeld.httpapi.server.reserve import PROBE_HEAD_S, Reserve
from modeld.settings import Settings

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

LINGER_S = 1.0
"""How long a refused client has to read why, while what it still sends is thrown away."""


class Connection(HttpToolsProtocol):
    """Counts from its start to its end; what comes between is read by the classes made from it."""

    settings: ClassVar[Settings]
    reserve: ClassVar[Reserve]
    refusals: ClassVar[Refusals]

    running: RequestResponseCycle | None = None
    """The request that the application works on, or worked on last."""
    receiving_body: bool = False
    """Whether the request that was read last has not arrived in full."""
    silent_bytes: int = 0
    """Bytes since the parser last reported a whole head or a piece of a body."""
    refusal: RefusedError | None = None
    """Why nothing more is read from this connection."""
    deadline: asyncio.TimerHandle | None = None

    @property
    def is_beyond(self) -> bool:
        """Return whether the server was full when this connection came."""
        return self in self.reserve

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Take the connection, for a short time and for a probe where there are too many."""
        self.joined = JoinedWrites(self.loop, transport)
        super().connection_made(cast("asyncio.Transport", self.joined))
        self.held = bytearray()  # what comes while a response is owed
        # Later than the application's own limit, so that it has the time to say why.
        limit_s = 1.5 * self.settings.write_timeout_s
        self.reader_deadline = ReaderDeadline(self.loop, transport, limit_s)
        head_s = self.settings.head_timeout_s
        if self.reserve.takes(self, len(self.connections)):
            head_s = min(head_s, PROBE_HEAD_S)
            if (surplus := self.reserve.surplus()) is not None:
                surplus.make_room()
        self.deadline = self.loop.call_later(head_s, self._head_late)

    def make_room(self) -> None:
        """End without a word, because a later connection may be a probe."""
        if self.refusal is None:
            self.refusals.note(too_many_connections(self.reserve.limit), self.client)
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the running request too: uvicorn tells only the one that was read last."""
        self.reserve.leave(self)
        self._disarm()
        self.reader_deadline.stop()
        if self.running is not None and not self.running.response_complete:
            _leave(self.running)
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.running = cycle
        self.joined.join_next()
        offer_direct_write(cast("dict[str, Any]", cycle.scope), CycleWrite(cycle))
        super()._start_asgi_task(cycle, app)

    def _owes_response(self) -> bool:
        """Return whether a request that has arrived in full is not yet answered."""
        # While the body of the running one still comes, nothing is owed: what comes is its own.
        return (
            self.running is not None
            and not self.running.response_complete
            and not (self.receiving_body and self.running is self.cycle)
        )

    def _watch_request(self) -> None:
        """Set a deadline for the rest of a request that has arrived in part."""
        if not self.silent_bytes and not self.receiving_body:
            return
        # Bytes never move a deadline that is set: one byte now and then would hold a connection.
        if self.deadline is not None or self.refusal is not None or self._owes_response():
            return
        if self.receiving_body:
            self.deadline = self.loop.call_later(self.settings.body_timeout_s, self._body_late)
        else:
            self.deadline = self.loop.call_later(self.settings.head_timeout_s, self._head_late)

    def _head_late(self) -> None:
        self.deadline = None
        if self.is_beyond:
            self._refuse(too_many_connections(self.reserve.limit))
        elif self.silent_bytes:
            self._refuse(too_slow("head", self.settings.head_timeout_s))
        else:
            self.transport.close()

    def _body_late(self) -> None:
        self.deadline = None
        if self.flow.read_paused:  # the application is behind, not the client
            self._watch_request()
        else:
            self._refuse(too_slow("body", self.settings.body_timeout_s))

    def _disarm(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def pause_writing(self) -> None:
        """Note that the client is behind."""
        super().pause_writing()
        self.reader_deadline.start()

    def resume_writing(self) -> None:
        """Note that the client has taken everything."""
        self.reader_deadline.stop()
        super().resume_writing()

    # Refusing

    def _refuse(self, refused: RefusedError) -> None:
        """Read nothing more, and end the connection when no response is owed."""
        self.refusals.note(refused, self.client)
        self._disarm()
        self.refusal = refused
        if self.receiving_body:
            self._drop_unfinished_request()
        if not self._owes_response():
            self._say_goodbye(refused)

    def _drop_unfinished_request(self) -> None:
        self.receiving_body = False
        _leave(self.cycle)
        if self.cycle is not self.running:
            self.pipeline.popleft()  # the latest: it must not start once those before it are done
        elif self.cycle.response_started:
            self.transport.close()  # a refusal now would be read as a part of that response
        else:
            self.running = None  # nothing of it is sent, so the refusal can be

    def _say_goodbye(self, refused: RefusedError) -> None:
        """Respond, then wait for the client to close: closing first would destroy the response."""
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self.transport.write(refused.response(self.server_state.default_headers))
        self.transport.write_eof()
        self.flow.resume_reading()  # bytes left unread would make the kernel reset the connection
        self.deadline = self.loop.call_later(LINGER_S, self.transport.abort)


class CycleWrite(DirectWrite):
    """Writes parts of one request's response at once, as uvicorn's ``send`` does it in a task."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self.send = cycle.send  # type: ignore[assignment]  # uvicorn has types of its own for it
        self._cycle = cycle
        self._flow = cycle.flow
        self._transport = cycle.transport

    def write(self, body: bytes) -> bool:
        """Write a chunk of a chunked body, unless ``send`` would wait or write something else."""
        cycle = self._cycle
        # `chunked_encoding` is None until the head is written, which decides it.
        if (
            self._flow.write_paused
            or cycle.disconnected
            or cycle.response_complete
            or not cycle.chunked_encoding
        ):
            return False
        self._transport.write(b"%x\r\n%b\r\n" % (len(body), body))
        return True


def _leave(cycle: RequestResponseCycle) -> None:
    """Let the application see that its client is gone."""
    cycle.disconnected = True
    cycle.message_event.set()
