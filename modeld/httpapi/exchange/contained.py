# SPDX-License-Identifier: GPL-3.0-only
"""Calls plugins' code during a request: an exception becomes that request's error only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn, TypeAlias

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from modeld.errors import ConfigurationError, InternalError, ModeldError
from modeld.httpapi.exchange.disconnect import ClientLeft
from modeld.httpapi.exchange.exchange import exchange_of
from modeld.plugins.guard import PluginFault, called, described, is_ours

Blame: TypeAlias = Callable[[str, BaseException | None], None]
"""Notes a fault of one thing that a plugin has brought, with what it has raised."""

_NO_FAULTS: Final = (
    ModeldError,
    HTTPException,
    ClientLeft,
    ClientDisconnect,
    WebSocketDisconnect,
)
"""What code of a plugin raises to say something to the client, or because that has left."""


class Contained:
    """An ASGI application of a plugin's. ``what`` names it, in faults and in the error."""

    def __init__(self, app: ASGIApp, what: str, blame: Blame) -> None:
        self._app = app
        self._what = what
        self._blame = blame

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            InternalError: the plugin's code has failed; what it raised is the cause.
        """
        try:
            await self._app(scope, receive, send)
        except BaseException as exc:
            if is_ours(exc) or isinstance(exc, _NO_FAULTS):
                raise
            if isinstance(exc, OSError) and exchange_of(scope).status is not None:
                raise  # with some servers a send fails for a client that has left
            refuse(self._what, exc, self._blame)


class ContainedMiddleware:
    """A plugin's middleware around ``app``, whose own errors are none of its.

    Raises:
        ConfigurationError: it cannot be made.
    """

    def __init__(self, app: ASGIApp, *, layer: Middleware, what: str, blame: Blame) -> None:
        self._app = app
        self._what = what
        self._blame = blame
        try:
            made = called(what, lambda: layer.cls(self._inside, *layer.args, **layer.kwargs))
        except PluginFault as fault:
            raise ConfigurationError(
                f"{fault}; leave its plugin out with --block-plugins"
            ) from fault
        self._outside = Contained(made, what, blame)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request through the middleware."""
        await self._outside(scope, receive, send)

    async def _inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what the middleware passes on, with its own ``send``, which may fail too."""

        async def send_out(message: Message) -> None:
            try:
                await send(message)
            except BaseException as exc:
                if is_ours(exc) or isinstance(exc, (*_NO_FAULTS, OSError)):
                    raise
                refuse(self._what, exc, self._blame)

        await self._app(scope, receive, send_out)


def refuse(what: str, exc: BaseException, blame: Blame) -> NoReturn:
    """Blame a plugin for what it has raised.

    Raises:
        InternalError: always. Raised as it is, a ``SystemExit`` would end the server.
    """
    message = f"{what} raised {described(exc)}"
    blame(message, exc)
    raise InternalError(message) from exc
