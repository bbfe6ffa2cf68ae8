# SPDX-License-Identifier: GPL-3.0-only
"""One request on its way through the application: its id, its route, its end, its log lines.

:class:`AccessLog` is the outermost layer: it makes the exchange and finishes it.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, cast

from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modeld.errors import InvalidRequestError
from modeld.events import Event, HttpRequestFinished, HttpRequestStarted
from modeld.responses import Placed
from modeld.status import PlanOutcome

UNMATCHED = "unmatched"
"""The route of a request that no route matched."""

CLIENT_LEFT = 499
"""The status in logs and events of a request whose client left before it was answered."""

MAX_QUERY_FIELDS = 100
"""How many fields a query may have; no route knows more than a few."""

_KEY = "modeld.exchange"
_DIRECT = "modeld.direct"
_SOCKET = "WEBSOCKET"
_LONGEST_LOGGED = 200
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", _SOCKET})
_LEVELS = {
    "off": logging.CRITICAL + 1,
    "error": logging.ERROR,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}

log = logging.getLogger("modeld.access")


class DirectWrite(ABC):
    """Does at once what ``send`` does with a part of the body, as long as that would not wait.

    It goes past whatever is wrapped around ``send``: whoever uses it makes sure that nothing is.
    """

    send: Send

    @abstractmethod
    def write(self, body: bytes) -> bool:
        """Write a part that is not empty and not the last, and return whether that was possible.

        It is not before the status line, while the client is behind, or once it has left.
        """


class Exchange:
    """What is known about one request while it is served.

    ``status`` is ``None`` until the status line is sent. ``outcome`` says in a word how a response
    ended that did not end well after its status line; it is empty otherwise. To a probe, a status
    of 503 is a result and no failure. ``placed`` is how its request for a model came to be served;
    of several, how the first did.
    """

    def __init__(self, scope: Scope, notify: Callable[[Event], None]) -> None:
        headers = Headers(scope=scope)
        method = scope.get("method", _SOCKET)
        self.request_id = _request_id(headers.get("x-request-id", ""))
        self.method = method if method in _METHODS else "OTHER"
        self.route: str | None = None
        self.model = ""
        self.status: int | None = None
        self.outcome = ""
        self.is_probe = False
        self._direct: DirectWrite | None = None
        self._send: Send | None = None
        self.placed: Placed | None = None
        self._path = str(scope.get("path", ""))
        self._details = False
        self._notify = notify
        self._level: int | None = None
        self._begun_s = time.perf_counter()

    def write_directly(self, direct: DirectWrite, send: Send) -> None:
        """Note that ``direct`` writes what ``send`` sends."""
        self._direct, self._send = direct, send

    def direct_write(self, send: Send) -> DirectWrite | None:
        """Return what writes parts of the body at once, if nobody has wrapped ``send``."""
        return self._direct if send is self._send else None

    def enter(self, route: str) -> None:
        """Note the route's template and tell the observers that the request has arrived."""
        self.route = route
        self._notify(HttpRequestStarted(route=route, method=self.method))

    def choose_log_level(self, scope: Scope, *, may_hide: bool = True) -> None:
        """Take over what the request says about its own log lines.

        ``?log=`` wins over ``X-Log-Level``; ``X-Log-Infer: 1`` wants the numbers of the response.
        Where the request may not hide, it cannot ask for fewer lines than the server writes.

        Raises:
            InvalidRequestError: one of the two is none of the known levels, or the query has too
                many fields to be looked through.
        """
        headers, query = Headers(scope=scope), scope["query_string"]
        if query.count(b"&") >= MAX_QUERY_FIELDS:
            raise InvalidRequestError(f"the query has more than {MAX_QUERY_FIELDS} fields")
        self._details = headers.get("x-log-infer") == "1"
        if self._details:
            self._level = logging.INFO
        in_query = QueryParams(query).get("log") if query else None
        for wanted in (headers.get("x-log-level"), in_query):
            if wanted is not None:
                self._level = _level(wanted)
                self._details = self._details or wanted == "debug"
        if not may_hide and self._level is not None and self._level > logging.INFO:
            self._level = None

    def note_placed(self, placed: Placed) -> None:
        """Take note of how a request for a model came to be served."""
        # The others have come at the same moment, and found what the first had brought about.
        if self.placed is None:
            self.placed = placed

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers of a response that goes well that say how it came about."""
        if self.placed is None:
            return []
        placed = self.placed
        headers = [
            (b"x-modeld-placement", placed.placement.encode()),
            (b"x-modeld-queue-wait-s", b"%.3f" % placed.queue_wait_s),
            (b"x-modeld-load-s", b"%.3f" % placed.load_s),
        ]
        if placed.fit:
            headers.append((b"x-modeld-fit", placed.fit.encode()))
        if placed.host:
            headers.append((b"x-modeld-host", placed.host.encode()))
        return headers

    def note_response(self, fields: Mapping[str, object]) -> None:
        """Log the numbers of a response, where the request or the server's level wants them.

        Nothing of the texts of request and response is logged, at any level.
        """
        if not (self._details or log.isEnabledFor(logging.DEBUG)):
            return
        line = " ".join(f"{name}={value}" for name, value in fields.items())
        self.write(logging.INFO, f"response {line}", fields)

    def finish(self) -> None:
        """Write the access line and tell the observers that the request is over."""
        if self.route is None:
            self.enter(UNMATCHED)
        seconds = time.perf_counter() - self._begun_s
        status = CLIENT_LEFT if self.status is None else self.status
        route = self.route or UNMATCHED
        fields = {"route": route, "method": self.method, "status": status}
        fields |= {"duration_ms": round(seconds * 1000, 1), "outcome": self.outcome}
        line = f"{self.method} {route} {status} {seconds * 1000:.1f} ms"
        if self.outcome:
            line = f"{line} {self.outcome}"
        if self.placed is not None and self.placed.placement is not PlanOutcome.RESIDENT:
            fields["placement"] = str(self.placed.placement)
            line = f"{line} {self.placed.placement}"
        if route == UNMATCHED:  # for people; what clients send must not become a metric's label
            fields["path"] = path = printable(self._path)
            line = f"{line} path={path}"
        failed = status >= 500 and not (self.is_probe and status == 503)  # "not yet"
        self.write(logging.ERROR if failed else logging.INFO, line, fields)
        self._notify(
            HttpRequestFinished(route=route, method=self.method, status=status, seconds=seconds)
        )

    def write(self, level: int, line: str, fields: Mapping[str, object]) -> None:
        """Log one line under the request's id; ``fields`` go to structured logs.

        A level that the request chose itself counts instead of the logger's own.
        """
        model = printable(self.model)
        line = f"{line} id={self.request_id}" + (f" model={model}" if model else "")
        fields = {**fields, "request_id": self.request_id, "model": model}
        if self._level is None:
            log.log(level, "%s", line, extra=fields)
        elif level >= self._level:
            log.handle(
                log.makeRecord(log.name, level, __file__, 0, "%s", (line,), None, extra=fields)
            )


class AccessLog:
    """Gives each request its :class:`Exchange` and records how it ended."""

    def __init__(self, app: ASGIApp, notify: Callable[[Event], None]) -> None:
        self._app = app
        self._notify = notify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        exchange = Exchange(scope, self._notify)
        attach(scope, exchange)
        headers = [
            (b"x-request-id", exchange.request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]

        async def send_noting_status(message: Message) -> None:
            kind = message["type"]
            if kind == "http.response.body":  # nearly all are parts of streams
                pass
            elif kind == "http.response.start":
                exchange.status = message["status"]
                placed = exchange.headers() if exchange.status < 400 else []
                message = {**message, "headers": [*message.get("headers", ()), *headers, *placed]}
            elif kind == "websocket.accept":
                exchange.status = 101
            elif kind == "websocket.close" and exchange.status is None:
                exchange.status = 403
            await send(message)

        direct: DirectWrite | None = scope.get(_DIRECT)
        if direct is not None and direct.send == send:  # a host's layers may stand in between
            exchange.write_directly(direct, send_noting_status)
        try:
            await self._app(scope, receive, send_noting_status)
        finally:
            exchange.finish()


def offer_direct_write(scope: MutableMapping[str, Any], direct: DirectWrite) -> None:
    """Put the server's way to write into a request's scope."""
    scope[_DIRECT] = direct


def exchange_of(scope: Scope) -> Exchange:
    """Return the exchange that :func:`attach` has put into the scope."""
    return cast(Exchange, scope[_KEY])


def attach(scope: Scope, exchange: Exchange) -> None:
    """Make the exchange known to everything further in."""
    scope[_KEY] = exchange


def printable(text: str) -> str:
    """Return the start of ``text``, with everything escaped that could forge a log line."""
    text = text[:_LONGEST_LOGGED]
    return text if text.isprintable() else ascii(text)[1:-1]


def _level(wanted: str) -> int:
    if wanted not in _LEVELS:
        raise InvalidRequestError(
            f"log: must be one of {', '.join(_LEVELS)}; leave it out for the server's level",
            field="log",
        )
    return _LEVELS[wanted]


def _request_id(offered: str) -> str:
    return offered if _REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex
