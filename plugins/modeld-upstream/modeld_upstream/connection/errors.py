# SPDX-License-Identifier: GPL-3.0-only
"""What goes wrong between modeld and a server, and which error of modeld's a response is."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from modeld.errors import (
    BackendUnavailableError,
    InternalError,
    InvalidRequestError,
    ModeldError,
    ModelNotFoundError,
    NotSupportedError,
    PromptTooLongError,
    QueueFullError,
)

MAX_TEXT: Final = 500
"""How much of what a server says is told, in characters."""

_TOO_LONG_CODES: Final = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_TOO_LONG_WORDS: Final = ("maximum context length", "context size", "context length")
_UNKNOWN_CODE: Final = "model_not_found"
_MODEL: Final = re.compile(r"(?<![\w/])model\b", re.IGNORECASE)
_MEMBERS: Final = {
    "max_completion_tokens": "max_tokens",
    "response_format": "json_schema",
    "chat_template_kwargs": "template_kwargs",
    "reasoning_effort": "reasoning",
    "top_logprobs": "logprobs",
}
"""What a request of modeld's calls fields that this wire calls otherwise."""


class UpstreamError(BackendUnavailableError):
    """The server that runs the model cannot be reached, failed, or broke off."""

    code = "upstream_failed"
    retryable = True


class UpstreamLostError(UpstreamError):
    """There is no connection to the server, or none any more."""


class UpstreamStalledError(UpstreamLostError):
    """The server has sent nothing for too long."""


class UpstreamAddressError(UpstreamError):
    """The server has nothing where it was asked."""


class UpstreamRefusedError(InternalError):
    """The server that runs the model does not let modeld in; its operator sees to the key."""

    code = "upstream_refused"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of an error, as far as it says so."""

    message: str = ""
    kind: str = ""
    code: str = ""
    field: str | None = None


def told(body: bytes) -> Told:
    """Return what the body of an error says, in whichever of the usual forms."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Told(message=_short(body[: 4 * MAX_TEXT].decode(errors="replace")))
    return told_by(document)


def told_by(document: Any) -> Told:
    """Return the same of a document."""
    if not isinstance(document, dict):
        return Told(message=_short(str(document)))
    said = document.get("error", document)
    if not isinstance(said, dict):
        return Told(message=_short(str(said)))
    message = said.get("message") or said.get("detail") or ""
    field = said.get("param") or said.get("field")
    return Told(
        message=_short(str(message)),
        kind=str(said.get("type") or ""),
        code=str(said.get("code") or ""),
        field=_MEMBERS.get(field, field) if isinstance(field, str) else None,
    )


def error_of(
    server: str, status: int, said: Told, *, retry_after_s: float | None = None
) -> ModeldError:
    """Return the error of modeld's that a server's response is.

    What is the client's fault is told in the server's words. What is the operator's or the server's
    names the server.
    """
    text = said.message or f"HTTP status {status}"
    named = f"server {server!r}: {text}"
    error: ModeldError
    match status:
        case 400 | 413 | 415 | 422 if _is_too_long(said):
            error = PromptTooLongError(text)
        case 400 | 413 | 415 | 422:
            error = InvalidRequestError(text, field=said.field)
        case 401 | 403 | 407:
            error = UpstreamRefusedError(
                f"server {server!r} does not let modeld in ({text}); see to its key_file or key_env"
            )
        case 404 if _is_model_unknown(said):
            error = ModelNotFoundError(named, field="model")
        case 404:
            error = UpstreamAddressError(
                f"server {server!r} has no such address ({text}); see to its url"
            )
        case 405 | 501:
            error = NotSupportedError(named)
        case 429:
            error = QueueFullError(named, retry_after_s=retry_after_s)
        case _:
            error = UpstreamError(named, retry_after_s=retry_after_s)
    return error


def status_in(said: Told) -> int:
    """Return the status of an error that came after the status line."""
    return int(said.code) if said.code.isdecimal() and 400 <= int(said.code) < 600 else 500


def _is_too_long(said: Told) -> bool:
    if {said.code, said.kind} & _TOO_LONG_CODES:
        return True
    return any(words in said.message.lower() for words in _TOO_LONG_WORDS)


def _is_model_unknown(said: Told) -> bool:
    """Return whether it is the model that a server does not know, and not the address."""
    if _UNKNOWN_CODE in {said.code, said.kind} or said.field == "model":
        return True
    return _MODEL.search(said.message) is not None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
