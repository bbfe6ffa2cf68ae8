# SPDX-License-Identifier: GPL-3.0-only
"""A client of an ASGI application that leaves at a chosen moment, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]
App: TypeAlias = Callable[
    [Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]
Leaving: TypeAlias = Literal["sent", "head"] | int | None
"""When a client leaves: its request is sent, the head of the response is there, so many pieces of
the body are there. ``None``: when the response is whole."""


@dataclass(slots=True)
class Received:
    """What a client has got: ``status`` is 0 where no head came, ``pieces`` are those of the body.

    ``is_whole`` says whether the end of the response came.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    is_whole: bool = False

    @property
    def body(self) -> bytes:
        """Return the body, as far as it came."""
        return b"".join(self.pieces)

    def json(self) -> Any:
        """Return the body read as JSON."""
        return json.loads(self.body)


async def ask(
    app: App,
    method: str,
    path: str,
    *,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    leaves: Leaving = None,
    limit_s: float = 10.0,
) -> Received:
    """Send one request and return what came until the client left.

    ``body`` is sent as JSON, or as it is where it is ``bytes``. The application gets ``limit_s`` to
    come to its end, also once the client has left.

    Raises:
        AssertionError: it did not.
    """
    client = _Client(method, path, body, headers or {}, leaves)
    try:
        async with asyncio.timeout(limit_s):
            await app(client.scope, client.receive, client.send)
    except TimeoutError:
        left = "after its client had left" if client.has_left.is_set() else "for its client"
        raise AssertionError(
            f"{method} {path} did not come to its end {left} within {limit_s:g} s; watch for"
            " http.disconnect wherever you wait"
        ) from None
    return client.received


class _Client:
    """The client's side of one request."""

    def __init__(
        self, method: str, path: str, body: object, headers: Mapping[str, str], leaves: Leaving
    ) -> None:
        self.received = Received()
        self.has_left = asyncio.Event()
        self._leaves = leaves
        self._content = _content(body)
        self._is_sent = False
        path, _, query = path.partition("?")
        sent = {"host": "testserver", **headers}
        if body is not None:
            sent = {"content-type": "application/json", **sent}
            sent["content-length"] = str(len(self._content))
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 50_000),
            "server": ("testserver", 80),
            "state": {},
        }

    async def receive(self) -> Message:
        """Return the request, and once the client has left, that it has."""
        if not self._is_sent:
            self._is_sent = True
            if self._leaves == "sent":
                self.has_left.set()
            return {"type": "http.request", "body": self._content, "more_body": False}
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the response; who has left takes nothing, and nobody is told."""
        if self.has_left.is_set():
            return
        received = self.received
        if message["type"] == "http.response.start":
            received.status = message["status"]
            received.headers = {
                name.decode().lower(): value.decode() for name, value in message.get("headers", ())
            }
            if self._leaves == "head":
                self.has_left.set()
        elif message["type"] == "http.response.body":
            if piece := message.get("body", b""):
                received.pieces.append(bytes(piece))
            if not message.get("more_body", False):
                received.is_whole = True
                self.has_left.set()
            elif isinstance(self._leaves, int) and len(received.pieces) >= self._leaves:
                self.has_left.set()


def _content(body: object) -> bytes:
    if body is None:
        return b""
    return body if isinstance(body, bytes) else json.dumps(body).encode()
