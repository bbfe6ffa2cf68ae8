# SPDX-License-Identifier: GPL-3.0-only
"""How an error looks on the wire: one table from error codes to statuses, one body."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import msgspec
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

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
from modeld.httpapi.exchange import CLIENT_LEFT, exchange_of
from modeld.httpapi.presence import ClientLeft

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
    """Answers for everything that failed further in, as long as no status line was sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; a failure after the status line goes on to the server."""
        try:
            await self._app(scope, receive, send)
        except Exception as exc:
            exchange = exchange_of(scope)
            if exchange.status is not None:
                raise
            response = _response(exc, exchange.request_id)
            if isinstance(exc, ModeldError):
                exchange.outcome = exc.code
            elif isinstance(exc, ClientLeft):
                exchange.outcome = "client_left"
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            else:
                await response(scope, receive, send)


def status_of(error: ModeldError) -> int:
    """The HTTP status for an error; a plugin's own kind has that of the kind it was made from."""
    codes = (getattr(cls, "code", "") for cls in type(error).__mro__)
    return next(STATUS[code] for code in codes if code in STATUS)


def as_error(exc: Exception, request_id: str) -> ModeldError:
    """The error that the client is told about; what is not its business goes to the log only."""
    if isinstance(exc, ModeldError) and exc.code != InternalError.code:
        return exc
    log.error("request %s failed: %s", request_id, exc, exc_info=exc)
    return InternalError(
        f"internal error; the server's log has the details under request id {request_id}"
    )


def _response(exc: Exception, request_id: str) -> Response:
    if isinstance(exc, ClientLeft):
        return Response(status_code=CLIENT_LEFT)
    if isinstance(exc, HTTPException):
        return _from_starlette(exc)
    error = as_error(exc, request_id)
    return _problem(error, status_of(error), {})


def _from_starlette(exc: HTTPException) -> Response:
    """Starlette's own errors and those of plugins' routes, in the shape of all others."""
    fallback = InternalError if exc.status_code >= 500 else InvalidRequestError
    cls, text = _STARLETTE.get(exc.status_code, (fallback, exc.detail))
    if exc.detail != HTTPException(exc.status_code).detail:
        text = exc.detail
    headers = dict(exc.headers or {})
    if exc.status_code == 405:
        headers.setdefault("Allow", "GET, HEAD")
    return _problem(cls(text), exc.status_code, headers)


def _problem(error: ModeldError, status: int, headers: Mapping[str, str]) -> Response:
    body: dict[str, object] = {"error": error.message, "code": status, "reason": error.code}
    if error.field is not None:
        body["field"] = error.field
    headers = {"Cache-Control": "no-store", **headers}
    if error.retry_after_s is not None and math.isfinite(error.retry_after_s):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if status == 401:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="modeld"')
    return Response(
        msgspec.json.encode(body), status, headers=headers, media_type="application/json"
    )
