# SPDX-License-Identifier: GPL-3.0-only
"""How an error looks on the wire: one table from error codes to statuses, one body."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import msgspec
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from modeld.dialects import Dialect, WholeResponse, retry_headers
from modeld.errors import (
    BodyTooLargeError,
    ForbiddenError,
    InternalError,
    InvalidRequestError,
    MethodNotAllowedError,
    ModeldError,
    NotAcceptableError,
    NotFoundError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)
from modeld.httpapi.exchange.addresses import Addresses
from modeld.httpapi.exchange.disconnect import ClientLeft
from modeld.httpapi.exchange.exchange import CLIENT_LEFT, exchange_of
from modeld.httpapi.exchange.writing.sending import send_whole
from modeld.plugins.faults import NoteFault, only_logged
from modeld.plugins.guard import PluginFault, called, described, expect, is_ours

STATUS: Mapping[str, int] = {
    "invalid_request": 400,
    "invalid_json": 400,
    "prompt_required": 400,
    "template_error": 400,
    "not_supported": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "model_not_found": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "client_too_slow": 408,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "prompt_too_long": 422,
    "invalid_model": 422,
    "invalid_settings": 422,
    "queue_full": 429,
    "wait_timeout": 429,
    "configuration_error": 500,
    "start_failed": 500,
    "internal_error": 500,
    "backend_unavailable": 503,
    "load_failed": 503,
    "worker_crashed": 503,
    "draining": 503,
    "request_timeout": 504,
    "model_exceeds_budget": 507,
    "budget_exceeded": 507,
}
"""The HTTP status of every error code."""

_STARLETTE: Mapping[int, tuple[type[ModeldError], str]] = {
    401: (UnauthorizedError, "a key is needed"),
    403: (ForbiddenError, "this is not allowed"),
    404: (NotFoundError, "there is nothing at this address; /openapi.json lists what there is"),
    405: (MethodNotAllowedError, "this address does not take this method; see the Allow header"),
    406: (NotAcceptableError, "none of the accepted media types can be written"),
    413: (BodyTooLargeError, "the body is too large"),
    415: (UnsupportedMediaTypeError, "the body's media type is not supported"),
}
_POLICY_VIOLATION = 1008

log = logging.getLogger("modeld.http")


class ErrorBody(BaseModel):
    """What every error looks like."""

    error: str = Field(description="what went wrong and, where known, what to do")
    code: int = Field(description="the HTTP status, also when the status line had said 200 before")
    reason: str = Field(description="stable word for what went wrong; safe to test for")
    field: str | None = Field(None, description="part of the request that is to blame")


class Problems:
    """Responds to everything that failed further in, as long as no status line was sent.

    Each error looks as the dialect has it in whose address it happened, and the native way
    elsewhere. What is no ``Exception`` comes from a plugin, and would end the event loop.
    """

    def __init__(
        self, app: ASGIApp, dialects: Addresses | None = None, note: NoteFault = only_logged
    ) -> None:
        self._app = app
        self._dialects = dialects
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; a failure after the status line goes on to the server."""
        try:
            await self._app(scope, receive, send)
        except BaseException as caught:
            if is_ours(caught):
                raise
            exc = caught if isinstance(caught, Exception) else _as_exception(caught)
            exchange = exchange_of(scope)
            if exchange.status is not None:
                if exc is caught:
                    raise
                raise exc from caught
            if isinstance(exc, ModeldError):
                exchange.outcome = exc.code
            elif isinstance(exc, ClientLeft):
                exchange.outcome = "client_left"
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
                return
            dialect = self._dialects.dialect_at(scope) if self._dialects else None
            await send_whole(self._response(exc, exchange.request_id, dialect), send)

    def _response(self, exc: Exception, request_id: str, dialect: Dialect | None) -> WholeResponse:
        if isinstance(exc, ClientLeft):
            return WholeResponse(pieces=(), status=CLIENT_LEFT)
        error, status, headers = _error_of(exc, request_id)
        if status == 401:
            headers.setdefault("WWW-Authenticate", 'Bearer realm="modeld"')
        headers["X-Modeld-Reason"] = error.code
        response = self._told(dialect, error, status, request_id)
        return replace(response, headers={**headers, **response.headers})

    def _told(
        self, dialect: Dialect | None, error: ModeldError, status: int, request_id: str
    ) -> WholeResponse:
        """Return how a dialect tells an error; what it raises itself must not hide the error."""
        if dialect is None:
            return native_error(error, status)
        what = f"dialect {dialect.name!r} could not tell an error"
        try:
            told: object = called(what, lambda: dialect.error(error, status, request_id))
            expect(isinstance(told, WholeResponse), told, "a WholeResponse")
        except (ModeldError, PluginFault) as exc:
            self._note("dialect", dialect.name, f"{what}: {exc}", exc)
            return native_error(error, status)
        return cast(WholeResponse, told)


def status_of(error: ModeldError) -> int:
    """Return the HTTP status of an error: a plugin's own kind says it, or has that of its base."""
    if error.status is not None:
        return error.status
    codes = (getattr(cls, "code", "") for cls in type(error).__mro__)
    return next(STATUS[code] for code in codes if code in STATUS)


def as_error(exc: Exception, request_id: str) -> ModeldError:
    """Return the error that the client is told; what is not its business goes to the log only."""
    if isinstance(exc, ModeldError) and exc.code != InternalError.code:
        return exc
    log.error("request %s failed: %s", request_id, exc, exc_info=exc)
    return InternalError(
        f"internal error; the server's log has the details under request id {request_id}"
    )


def native_error(error: ModeldError, status: int) -> WholeResponse:
    """Return an error as modeld's own document."""
    body: dict[str, object] = {"error": error.message, "code": status, "reason": error.code}
    if error.field is not None:
        body["field"] = error.field
    return WholeResponse(
        pieces=(msgspec.json.encode(body),), status=status, headers=retry_headers(error)
    )


def _as_exception(exc: BaseException) -> InternalError:
    error = InternalError(f"it raised {described(exc)}")
    error.__cause__ = exc
    return error


def _error_of(exc: Exception, request_id: str) -> tuple[ModeldError, int, dict[str, str]]:
    """Return the error that the client is told, its status, and headers that go with it."""
    if isinstance(exc, HTTPException):
        return _from_starlette(exc)
    error = as_error(exc, request_id)
    return error, status_of(error), {}


def _from_starlette(exc: HTTPException) -> tuple[ModeldError, int, dict[str, str]]:
    """Return Starlette's own errors and those of plugins' routes as errors like all others."""
    fallback = InternalError if exc.status_code >= 500 else InvalidRequestError
    cls, text = _STARLETTE.get(exc.status_code, (fallback, exc.detail))
    if exc.detail != HTTPException(exc.status_code).detail:
        text = exc.detail
    headers = dict(exc.headers or {})
    if exc.status_code == 405:
        headers.setdefault("Allow", "GET, HEAD")
    return cls(text), exc.status_code, headers
