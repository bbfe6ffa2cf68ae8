# SPDX-License-Identifier: GPL-3.0-only
"""The outermost layer: an id, one log line and two events for every request."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modeld.events import Event
from modeld.httpapi.exchange import Exchange, attach


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
            if kind == "http.response.start":
                exchange.status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
            elif kind == "websocket.accept":
                exchange.status = 101
            elif kind == "websocket.close" and exchange.status is None:
                exchange.status = 403
            await send(message)

        try:
            await self._app(scope, receive, send_noting_status)
        finally:
            exchange.finish()
