# SPDX-License-Identifier: GPL-3.0-only
"""What stands around Ray's HTTP proxy on each node, so that the loss of an ingress is honest.

Ray's proxy hands a request to an ingress once. Where that is lost before it has responded, the
client would get a 500 in plain text. Ray's processes find this through the variable
``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH``.
"""

from __future__ import annotations

import json
import logging
from typing import Final

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modeld_ray.errors import RETRY_S, HostLostError, NoHostError

log = logging.getLogger("modeld.ray")

MOST_KEPT_BYTES: Final = 16 << 20
"""So much of a body is kept for a second try; what is longer gets the error at once."""

_MARK: Final = b"x-content-type-options"
"""What every response of ours has, and none of Ray's own."""


def middlewares() -> list[Middleware]:
    """Return what Ray puts around the proxy."""
    return [Middleware(IngressLoss)]


class IngressLoss:
    """Sends a request to another ingress, once, where the first one is lost without a word.

    Nothing has reached the client by then, so it can see no response twice. What Ray itself says
    where there is no ingress becomes an error that clients can read.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request and its response."""
        if scope["type"] != "http" or scope["path"].startswith("/-/"):
            await self._app(scope, receive, send)
            return
        body, response = _Body(receive), _Response(send)
        await self._app(scope, body.receive, response.send)
        if response.is_missing and body.is_whole and not body.client_left:
            log.warning("an ingress is lost; the request goes to another one")
            await self._app(scope, body.again(), response.send)
        if response.is_missing and not body.client_left:
            await response.refuse(
                HostLostError("the ingress that had the request is lost", retry_after_s=RETRY_S)
            )


class _Body:
    """What a client has sent, for as long as it may be wanted again."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._kept: list[Message] = []
        self._size = 0
        self.is_whole = True
        self.client_left = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.client_left = True
            return message
        self._size += len(message.get("body", b""))
        if self._size > MOST_KEPT_BYTES:
            self.is_whole = False
            self._kept.clear()
        if self.is_whole:
            self._kept.append(message)
        return message

    def again(self) -> Receive:
        kept = iter(tuple(self._kept))

        async def receive() -> Message:
            return next(kept, None) or await self.receive()

        return receive


class _Response:
    """What goes to the client; Ray's own refusals are held back."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: Message | None = None
        self.is_missing = True

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.is_missing = False
            names = {name.lower() for name, _ in message["headers"]}
            if message["status"] == 503 and _MARK not in names:
                self._held = message
                return
        if self._held is None:
            await self._send(message)
        elif not message.get("more_body"):
            await self.refuse(NoHostError("no ingress is up", retry_after_s=RETRY_S))

    async def refuse(self, error: HostLostError | NoHostError) -> None:
        document = {"error": error.message, "code": error.status, "reason": error.code}
        content = json.dumps(document).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            (b"retry-after", str(int(error.retry_after_s or RETRY_S)).encode()),
        ]
        self.is_missing = False
        start = {"type": "http.response.start", "status": error.status, "headers": headers}
        await self._send(start)
        await self._send({"type": "http.response.body", "body": content})
