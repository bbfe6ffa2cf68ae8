# SPDX-License-Identifier: GPL-3.0-only
"""uvicorn's HTTP protocol with limits on what a connection may send, and for how long.

The parser below (llhttp) is strict about framing, but it knows no sizes and no times, and uvicorn
adds neither. Here a head, a trailer or a chunk extension is cut off as soon as it passes its
limit, and a request that two servers could understand differently is refused. The times are in
:mod:`modeld.httpapi.server.connection`.
"""

from __future__ import annotations

from collections.abc import Callable

import httptools

from modeld.events import Event
from modeld.httpapi.server.capacity import Capacity
from modeld.httpapi.server.connection import Connection
from modeld.httpapi.server.refusals import Refusals
from modeld.httpapi.server.request_head import (
    MAX_TARGET_BYTES,
    RefusedError,
    check_head,
    header_too_large,
    invalid,
    malformed,
    target_too_long,
    too_far_ahead,
    too_many_connections,
)
from modeld.httpapi.server.reserve import Reserve, is_probe
from modeld.settings import Settings

MAX_AHEAD = 64
"""How many requests one connection may send before the first of them has its response."""

MAX_AHEAD_BYTES = 1 << 20
"""How much one connection may send ahead of a response that is owed to it."""

SMALL_PIECE_BYTES = 256
MAX_SMALL_PIECES = 4096
"""How many pieces of a body may be shorter; each costs as much as a long one, on the event loop."""


class LimitedProtocol(Connection):
    """Reads the requests of one connection. :func:`protocol_class` gives it its limits.

    Requests that a client sends ahead are held back until the response before them is complete, so
    that a leaving client is noticed and no error is written into a response.
    """

    url: bytes = b""
    small_pieces: int = 0
    """How many pieces of the body were so short that their number and not their size costs."""
    failed_check: RefusedError | None = None
    """Why the parser was made to stop."""

    def data_received(self, data: bytes) -> None:
        """Parse ``data``, or keep it for later, or throw it away."""
        if self.refusal is not None:
            return  # thrown away: left unread, it would make the kernel reset the connection
        if self._owes_response():
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
        """Keep what came early. Reading never pauses: that would hide that the client leaves."""
        self.held += data
        if len(self.held) > MAX_AHEAD_BYTES:
            self.held.clear()
            self._refuse(too_far_ahead(MAX_AHEAD_BYTES))

    def _feed(self, data: bytes) -> None:
        """Hand over ``data`` in pieces no longer than what may still come in silence."""
        limit = self.settings.max_header_bytes
        start, size = 0, len(data)
        while start < size:
            # So the parser never gets more of a head than the limit, however much came at once.
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
            if start < size and self._owes_response():
                self._hold(data[start:])
                return

    def _head_without_upgrade(self) -> bytes:
        """Return the head that the parser has just read, for a new parser that must not stop at it.

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
            return  # the same head comes again without its Upgrade, and must not start two requests
        try:
            if self.parser.should_upgrade():
                raise invalid("CONNECT is not supported; this is not a proxy")
            if len(self.pipeline) == MAX_AHEAD:
                raise invalid(f"more than {MAX_AHEAD} requests were sent ahead of their responses")
            check_head(self.parser.get_http_version(), self.url, self.headers, self.settings)
            if self.is_beyond and not is_probe(self.url):
                raise too_many_connections(self.reserve.limit)
        except RefusedError as refused:
            self.failed_check = refused  # what leaves the parser is its own error
            raise
        super().on_headers_complete()
        if self.is_beyond:
            self.cycle.keep_alive = False  # one probe each, or probes would fill the reserve
        self.headers = []  # so that a trailer never becomes a header of the request
        self.silent_bytes = 0
        self.small_pieces = 0
        self.receiving_body = True
        if self.deadline is not None:
            self._disarm()

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body."""
        self.silent_bytes = 0
        self.small_pieces += len(body) < SMALL_PIECE_BYTES
        if self.small_pieces > MAX_SMALL_PIECES:
            self.failed_check = invalid(
                f"the body came in more than {MAX_SMALL_PIECES} pieces of less than"
                f" {SMALL_PIECE_BYTES} bytes; send larger chunks"
            )
            raise self.failed_check
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request has arrived in full."""
        if self.parser.should_upgrade():
            return
        self.silent_bytes = 0
        self.receiving_body = False
        if self.deadline is not None:
            self._disarm()
        super().on_message_complete()

    # What the application's response changes

    def on_response_complete(self) -> None:
        """Go on with what was held back, or end the connection if that was decided meanwhile."""
        super().on_response_complete()
        if self.transport.is_closing() or self._owes_response():
            return  # uvicorn has begun the next request of its pipeline: its response is owed now
        held = bytes(self.held)
        self.held.clear()  # before it is parsed: a request in it may have the rest held again
        if self.refusal is not None:
            self._say_goodbye(self.refusal)
        elif held:
            self.data_received(held)
        else:
            self._watch_request()


def protocol_class(
    settings: Settings,
    capacity: Capacity | None = None,
    notify: Callable[[Event], None] = lambda _event: None,
) -> type[LimitedProtocol]:
    """Return the protocol with the limits in ``settings``, for uvicorn's ``http`` option.

    Without a ``capacity`` it takes as many connections as the settings allow.
    """
    limits = capacity or Capacity(connections=settings.max_connections)
    members = {
        "settings": settings,
        "reserve": Reserve(limits.connections, limits.reserve),
        "refusals": Refusals(notify),
    }
    return type("ModeldProtocol", (LimitedProtocol,), members)
