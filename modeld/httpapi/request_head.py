# SPDX-License-Identifier: GPL-3.0-only
"""What the head of a request must look like, and the answer to one that does not."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from modeld.settings import Settings

MAX_TARGET_BYTES = 8 << 10
"""Longest path and query together."""

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")

Headers = Sequence[tuple[bytes, bytes]]


class RefusedError(Exception):
    """What a client sent cannot be taken, and the connection ends with the answer that says so."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.request_id = uuid.uuid4().hex

    def answer(self, headers: Headers) -> bytes:
        """The whole response: ``headers``, those of a last answer, and modeld's error body."""
        body = msgspec.json.encode(
            {"error": self.message, "code": self.status, "reason": self.reason}
        )
        lines = [
            *headers,
            (b"x-request-id", self.request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        head = b"".join(b"%s: %s\r\n" % line for line in lines)
        return STATUS_LINE[self.status] + head + b"\r\n" + body


def check_head(version: str, target: bytes, headers: Headers, settings: Settings) -> None:
    """Check a whole head; its header names are in lower case.

    Raises:
        RefusedError: it is too big, does not name one host, or leaves the length of the body in
            doubt, so that a proxy in front might see another request than this server.
    """
    if len(target) > MAX_TARGET_BYTES:
        raise target_too_long()
    if len(headers) > settings.max_headers:
        raise too_many_headers(len(headers), settings.max_headers)
    if version not in ("1.1", "1.0"):
        raise invalid(f"HTTP/{version} is not supported; use HTTP/1.1")
    fields = dict(headers)
    if len(fields) != len(headers) and [name for name, _ in headers].count(b"host") > 1:
        raise invalid("the request has more than one Host header")
    host = fields.get(b"host")
    if host is None and version == "1.1":
        raise invalid("the request has no Host header")
    if host is not None and _HOST.fullmatch(host) is None:
        raise invalid("the Host header must be a host name or address with an optional port")
    if b"transfer-encoding" in fields:
        _check_transfer_encoding(version, fields)


def _check_transfer_encoding(version: str, fields: dict[bytes, bytes]) -> None:
    if b"content-length" in fields:
        raise invalid("the request has both Content-Length and Transfer-Encoding; send one")
    if version == "1.0":
        raise invalid("Transfer-Encoding is not allowed in HTTP/1.0; send Content-Length")
    if fields[b"transfer-encoding"].lower() != b"chunked":
        raise invalid("the only supported Transfer-Encoding is chunked")


def invalid(message: str) -> RefusedError:
    """The request is malformed; ``message`` says how."""
    return RefusedError(400, "invalid_request", message)


def malformed(error: httptools.HttpParserError) -> RefusedError:
    """The parser has stopped, or uvicorn could make nothing of the target."""
    if isinstance(error, httptools.HttpParserCallbackError):
        return invalid("the request target is not valid")
    return invalid(f"the request is not valid HTTP: {error}")


def too_slow(part: str, limit_s: float) -> RefusedError:
    """The client did not send the head or the body in time."""
    return RefusedError(
        408, "request_too_slow", f"the request's {part} did not arrive within {limit_s:g} s"
    )


def target_too_long() -> RefusedError:
    """Path and query are over their limit."""
    return RefusedError(
        414, "target_too_long", f"the request target is longer than {MAX_TARGET_BYTES} bytes"
    )


def header_too_large(part: str, limit_bytes: int) -> RefusedError:
    """Request line and headers together, or what surrounds the chunks of a body, are too big."""
    return RefusedError(
        431, "header_too_large", f"the request's {part} is longer than {limit_bytes} bytes"
    )


def too_many_headers(count: int, limit: int) -> RefusedError:
    """There are more header lines than allowed."""
    return RefusedError(
        431, "too_many_headers", f"the request has {count} headers; the limit is {limit}"
    )


def too_many_connections(limit: int) -> RefusedError:
    """Too many clients are connected."""
    return RefusedError(
        503, "too_many_connections", f"the server takes no more than {limit} connections at once"
    )
