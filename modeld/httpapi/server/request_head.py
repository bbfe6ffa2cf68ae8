# SPDX-License-Identifier: GPL-3.0-only
"""Checks the head of a request, and responds to a malformed one."""

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

_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)(/[^#]*)", re.IGNORECASE)
_DEFAULT_PORT = {b"http": b":80", b"https": b":443"}

_ONCE = {
    b"host": "Host",
    b"content-length": "Content-Length",
    b"transfer-encoding": "Transfer-Encoding",
}
"""Headers of which a second one could mean another request to a proxy in front."""

Headers = Sequence[tuple[bytes, bytes]]


class RefusedError(Exception):
    """What a client sent cannot be taken; the connection ends with the response that says so."""

    def __init__(
        self, status: int, reason: str, message: str, *, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s
        self.request_id = uuid.uuid4().hex

    def response(self, headers: Headers) -> bytes:
        """Return the whole response: ``headers``, those of a last one, and modeld's error body."""
        body = msgspec.json.encode(
            {"error": self.message, "code": self.status, "reason": self.reason}
        )
        lines = [
            *headers,
            (b"x-request-id", self.request_id.encode()),
            (b"x-modeld-reason", self.reason.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        if self.retry_after_s is not None:
            lines.append((b"retry-after", b"%d" % self.retry_after_s))
        head = b"".join(b"%s: %s\r\n" % line for line in lines)
        return STATUS_LINE[self.status] + head + b"\r\n" + body


def check_head(version: str, target: bytes, headers: Headers, settings: Settings) -> None:
    """Check a whole head; its header names are in lower case.

    Raises:
        RefusedError: it is too big, does not name one host, has a target that is not of this
            server, or leaves the length of the body in doubt, so that a proxy in front might see
            another request than this server.
    """
    if len(target) > MAX_TARGET_BYTES:
        raise target_too_long()
    if len(headers) > settings.max_headers:
        raise too_many_headers(len(headers), settings.max_headers)
    if version not in ("1.1", "1.0"):
        raise invalid(f"HTTP/{version} is not supported; use HTTP/1.1")
    fields = dict(headers)
    if len(fields) != len(headers):
        _check_repetition(headers)
    host = fields.get(b"host")
    if host is None and version == "1.1":
        raise invalid("the request has no Host header")
    if host is not None and _HOST.fullmatch(host) is None:
        raise invalid("the Host header must be a host name or address with an optional port")
    _check_target(target, host)
    if b"transfer-encoding" in fields:
        _check_transfer_encoding(version, fields)


def _check_repetition(headers: Headers) -> None:
    names = [name for name, _ in headers]
    for name, shown in _ONCE.items():
        if names.count(name) > 1:
            raise invalid(f"the request has more than one {shown} header")


def _check_target(target: bytes, host: bytes | None) -> None:
    """Take a path, or a whole URL whose authority is the ``Host`` header's.

    By RFC 9112 (3.2.2) the URL's authority counts, and a client has to send the same as ``Host``.
    Where the two differ, a proxy in front may have looked at the other one.
    """
    if target.startswith(b"/"):
        if b"#" in target:
            raise invalid("the request target has a fragment")
        return
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise invalid("the request target must be a path, or an http:// URL of this server")
    scheme, authority = absolute[1].lower(), absolute[2]
    if _HOST.fullmatch(authority) is None:
        raise invalid("the request target must name a host with an optional port and no user")
    if host is not None and _plain(scheme, authority) != _plain(scheme, host):
        raise invalid("the request target and the Host header name different hosts")


def _plain(scheme: bytes, authority: bytes) -> bytes:
    return authority.lower().removesuffix(_DEFAULT_PORT[scheme])


def _check_transfer_encoding(version: str, fields: dict[bytes, bytes]) -> None:
    if b"content-length" in fields:
        raise invalid("the request has both Content-Length and Transfer-Encoding; send one")
    if version == "1.0":
        raise invalid("Transfer-Encoding is not allowed in HTTP/1.0; send Content-Length")
    if fields[b"transfer-encoding"].lower() != b"chunked":
        raise invalid("the only supported Transfer-Encoding is chunked")


def invalid(message: str) -> RefusedError:
    """Return the refusal of a malformed request; ``message`` says how it is."""
    return RefusedError(400, "invalid_request", message)


def malformed(error: httptools.HttpParserError) -> RefusedError:
    """Return why the parser has stopped, or that uvicorn could make nothing of the target."""
    if isinstance(error, httptools.HttpParserCallbackError):
        return invalid("the request target is not valid")
    return invalid(f"the request is not valid HTTP: {error}")


def too_far_ahead(limit_bytes: int) -> RefusedError:
    """Return the refusal of a client that goes on sending while a response is owed to it."""
    return invalid(f"more than {limit_bytes} bytes were sent ahead of a response")


def too_slow(part: str, limit_s: float) -> RefusedError:
    """Return the refusal of a client that did not send the head or the body in time."""
    return RefusedError(
        408, "request_too_slow", f"the request's {part} did not arrive within {limit_s:g} s"
    )


def target_too_long() -> RefusedError:
    """Return the refusal of a path and query that are over their limit."""
    return RefusedError(
        414, "target_too_long", f"the request target is longer than {MAX_TARGET_BYTES} bytes"
    )


def header_too_large(part: str, limit_bytes: int) -> RefusedError:
    """Return the refusal of a head, or of what surrounds the chunks of a body, that is too big."""
    return RefusedError(
        431, "header_too_large", f"the request's {part} is longer than {limit_bytes} bytes"
    )


def too_many_headers(count: int, limit: int) -> RefusedError:
    """Return the refusal of more header lines than allowed."""
    return RefusedError(
        431, "too_many_headers", f"the request has {count} headers; the limit is {limit}"
    )


def too_many_connections(limit: int) -> RefusedError:
    """Return the refusal of a connection beyond the limit."""
    return RefusedError(
        503,
        "too_many_connections",
        f"the server takes no more than {limit} connections at once",
        retry_after_s=1,
    )
