# SPDX-License-Identifier: GPL-3.0-only
"""uvicorn's HTTP protocol with limits on what a connection may send, and for how long.

The parser below (llhttp) is strict about framing, but it knows no sizes and no times, and uvicorn
adds neither. Here a head, a trailer or a chunk extension is cut off as soon as it passes its
limit, a head or a body that does not arrive in time is answered with 408, a reader that takes
nothing is dropped, and a request that two servers could understand differently is refused. Once a
request has arrived, no deadline runs but the reader's own, so streams may last.
"""

from __future__ import annotations

import asyncio
import logging
from typing import ClassVar

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from modeld.httpapi.reader_deadline import ReaderDeadline
from modeld.httpapi.request_head import (
    MAX_TARGET_BYTES,
    RefusedError,
    check_head,
    header_too_large,
    invalid,
    malformed,
    target_too_long,
    too_many_connections,
    too_slow,
)
from modeld.settings import Settings

logger = logging.getLogger("modeld.http")

LINGER_S = 1.0
"""How long a refused client has to read why, while what it still sends is thrown away."""

EXTRA_CONNECTIONS = 64
"""How many connections beyond the limit are told so; further ones are closed without a word."""

MAX_AHEAD = 64
"""How many requests one connection may send before the first of them is answered."""


class LimitedProtocol(HttpToolsProtocol):
    """One connection. :func:`protocol_class` gives it its limits.

    Requests that a client sends ahead are held back until the answer before them is complete, so
    that a leaving client is noticed and no error is written into an answer.
    """

    settings: ClassVar[Settings] = Settings()

    url: bytes = b""
    running: RequestResponseCycle | None = None
    """The request that the application works on, or worked on last."""
    receiving_body: bool = False
    """Whether the request that was read last has not arrived in full."""
    silent_bytes: int = 0
    """Bytes since the parser last reported a whole head or a piece of a body."""
    held: bytes = b""
    """What came while the answer to an earlier request was still owed."""
    refusal: RefusedError | None = None
    """Why nothing more is read from this connection."""
    failed_check: RefusedError | None = None
    """Why the parser was made to stop."""
    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Take the connection, or say that there are too many."""
        super().connection_made(transport)
        # Later than the application's own limit, so that it has the time to say why.
        limit_s = 1.5 * self.settings.write_timeout_s
        self.reader_deadline = ReaderDeadline(self.loop, transport, limit_s)
        most = self.settings.max_connections
        if len(self.connections) <= most:
            self.deadline = self.loop.call_later(self.settings.head_timeout_s, self._head_late)
        elif len(self.connections) <= most + EXTRA_CONNECTIONS:
            self._refuse(too_many_connections(most))
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the running request too; uvicorn tells only the one that was read last."""
        self._disarm()
        self.reader_deadline.stop()
        if self.running is not None and not self.running.response_complete:
            _leave(self.running)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come, or keep it for later, or throw it away."""
        if self.refusal is not None:
            return
        if self._owes_answer():
            self._hold(data)
            return
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError as exc:
            self._refuse(self.failed_check or malformed(exc))
        except RefusedError as refused:
            self._refuse(refused)
        if self.receiving_body or self.silent_bytes:
            self._watch_request()

    def _hold(self, data: bytes) -> None:
        self.held += data
        if len(self.held) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def _feed(self, data: bytes) -> None:
        """Hand over ``data`` in pieces no longer than what may still come in silence."""
        limit = self.settings.max_header_bytes
        start, size = 0, len(data)
        while start < size:
            piece = data[start : start + limit - self.silent_bytes]
            start += len(piece)
            self.silent_bytes += len(piece)
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._head_without_upgrade() + piece[upgrade.args[0] :] + data[start:]
                start, size = 0, len(data)
            if self.silent_bytes >= limit:
                raise self._too_large()
            if start < size and self._owes_answer():
                self._hold(data[start:])
                return

    def _head_without_upgrade(self) -> bytes:
        """The head that the parser has just read, for a new parser that must not stop at it.

        A server may ignore ``Upgrade``, but llhttp ends the message there and would take its body
        for something else. Java's HTTP client offers h2c with every first request.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        self.parser = httptools.HttpRequestParser(self)
        self.silent_bytes = 0
        lines = [b"%s: %s\r\n" % line for line in self.headers if line[0] != b"upgrade"]
        return b"%s %s HTTP/%s\r\n%s\r\n" % (method, self.url, version, b"".join(lines))

    def _too_large(self) -> RefusedError:
        if not self.receiving_body and not self.headers and len(self.url) > MAX_TARGET_BYTES:
            return target_too_long()
        part = "chunk framing" if self.receiving_body else "head"
        return header_too_large(part, self.settings.max_header_bytes)

    # What the parser reports

    def on_headers_complete(self) -> None:
        """Check the head and start the request."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            return
        try:
            if self.parser.should_upgrade():
                raise invalid("CONNECT is not supported; this is not a proxy")
            if len(self.pipeline) == MAX_AHEAD:
                raise invalid(f"more than {MAX_AHEAD} requests were sent ahead of their answers")
            check_head(self.parser.get_http_version(), self.url, self.headers, self.settings)
        except RefusedError as refused:
            self.failed_check = refused  # what leaves the parser is its own error
            raise
        super().on_headers_complete()
        self.headers = []  # so that a trailer never becomes a header of the request
        self.silent_bytes = 0
        self.receiving_body = True
        if self.deadline is not None:
            self._disarm()

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body."""
        self.silent_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Nothing more is owed by the client."""
        if self.parser.should_upgrade():
            return
        self.silent_bytes = 0
        self.receiving_body = False
        if self.deadline is not None:
            self._disarm()
        super().on_message_complete()

    # What the application's answer changes

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on with what was held back, or end the connection if that was decided meanwhile."""
        super().on_response_complete()
        if self.transport.is_closing() or self._owes_answer():
            return
        held, self.held = self.held, b""
        if self.refusal is not None:
            self._say_goodbye(self.refusal)
        elif held:
            self.data_received(held)
        else:
            self._watch_request()

    def _owes_answer(self) -> bool:
        """Whether a request that has arrived in full is not yet answered."""
        return (
            self.running is not None
            and not self.running.response_complete
            and not (self.receiving_body and self.running is self.cycle)
        )

    # Deadlines

    def _watch_request(self) -> None:
        """See to it that a request which has arrived in part arrives in full."""
        if not self.silent_bytes and not self.receiving_body:
            return
        if self.deadline is not None or self.refusal is not None or self._owes_answer():
            return
        if self.receiving_body:
            self.deadline = self.loop.call_later(self.settings.body_timeout_s, self._body_late)
        else:
            self.deadline = self.loop.call_later(self.settings.head_timeout_s, self._head_late)

    def _head_late(self) -> None:
        self.deadline = None
        if self.silent_bytes:
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
        """The client is behind."""
        super().pause_writing()
        self.reader_deadline.start()

    def resume_writing(self) -> None:
        """The client has taken everything."""
        self.reader_deadline.stop()
        super().resume_writing()

    # Refusing

    def _refuse(self, refused: RefusedError) -> None:
        """Read nothing more, and end the connection when no answer is owed."""
        logger.debug("refused %s: %s id=%s", self.client, refused.message, refused.request_id)
        self._disarm()
        self.refusal = refused
        if self.receiving_body:
            self._drop_unfinished_request()
        if not self._owes_answer():
            self._say_goodbye(refused)

    def _drop_unfinished_request(self) -> None:
        self.receiving_body = False
        _leave(self.cycle)
        if self.cycle is not self.running:
            self.pipeline.popleft()
        elif self.cycle.response_started:
            self.transport.close()
        else:
            self.running = None

    def _say_goodbye(self, refused: RefusedError) -> None:
        """Answer, then wait for the client to close: closing first would destroy the answer."""
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self.transport.write(refused.answer(self.server_state.default_headers))
        self.transport.write_eof()
        self.flow.resume_reading()
        self.deadline = self.loop.call_later(LINGER_S, self.transport.abort)


def _leave(cycle: RequestResponseCycle) -> None:
    """Let the application see that its client is gone."""
    cycle.disconnected = True
    cycle.message_event.set()


def protocol_class(settings: Settings) -> type[LimitedProtocol]:
    """The protocol with the limits in ``settings``, for uvicorn's ``http`` option."""
    return type("ModeldProtocol", (LimitedProtocol,), {"settings": settings})
