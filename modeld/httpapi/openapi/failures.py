# SPDX-License-Identifier: GPL-3.0-only
"""The errors in the OpenAPI document: statuses, reasons, and an example of each."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from modeld.dialects import Dialect, WholeResponse
from modeld.dialects.documents import NO_STORE, Header
from modeld.errors import (
    ConfigurationError,
    DrainingError,
    ForbiddenError,
    InternalError,
    InvalidRequestError,
    ModeldError,
    StartError,
    UnauthorizedError,
    error_codes,
    error_from_code,
)
from modeld.httpapi.exchange.problems import STATUS, ErrorBody, native_error, status_of
from modeld.httpapi.openapi.headers import described_headers

Json: TypeAlias = dict[str, Any]

REFUSALS: Mapping[str, tuple[int, str]] = {
    "request_too_slow": (408, "the request's body did not arrive within 30 s"),
    "target_too_long": (414, "the request target is longer than 8192 bytes"),
    "header_too_large": (431, "the request's head is longer than 32768 bytes"),
    "too_many_headers": (431, "the request has 101 headers; the limit is 100"),
    "too_many_connections": (503, "the server takes no more than 2048 connections at once"),
}
"""Status and example of what ``modeld serve`` refuses while it reads the head of a request."""

_MESSAGES: Mapping[str, str] = {
    "invalid_request": "temprature: unknown field; did you mean 'temperature'?",
    "invalid_json": "the body is not valid JSON: invalid character (byte 12)",
    "prompt_required": "prompt: must be given and not be empty, unless there are messages",
    "template_error": "the model has no chat template; send `prompt` instead of `messages`",
    "not_supported": "the model's backend does not serve rerank requests",
    "unauthorized": "an API key is needed: send Authorization: Bearer KEY",
    "forbidden": "a page of another origin may not change anything here; cors_origins lets it in",
    "model_not_found": "there is no model 'smollm2'",
    "not_found": "there is nothing at this address; /openapi.json lists what there is",
    "not_acceptable": (
        "none of the accepted media types can be written; accept one of application/x-ndjson,"
        " application/json, text/event-stream"
    ),
    "body_too_large": "the body is larger than 1048576 bytes, which is the limit",
    "unsupported_media_type": "the body must be sent with Content-Type: application/json",
    "prompt_too_long": (
        "the prompt has 9000 tokens and the context 8192, of which one must be left for the"
        " generation; shorten the prompt or set a larger `context`"
    ),
    "invalid_model": (
        "model 'broken.gguf' cannot be used: the file begins with 'GGML', not with 'GGUF':"
        " it is no GGUF file"
    ),
    "invalid_settings": "modeld.yaml: unknown key 'max_wait'; did you mean 'max_wait_s'?",
    "queue_full": "32 requests wait for model 'a.gguf' and 4 run; no more than 32 may wait",
    "wait_timeout": "no slot of model 'a.gguf' was free within 120 s",
    "configuration_error": "eviction_policy: no installed plugin brings 'fifo'",
    "start_failed": (
        "this application was started on another event loop; enter its lifespan, or make one"
        " application for each loop"
    ),
    "internal_error": "internal error; the server's log has the details under request id docs-1",
    "backend_unavailable": (
        "no installed backend can load 'a.onnx' (format 'onnx', family ''); installed: llama-cpp"
    ),
    "load_failed": "model 'a.gguf' could not be loaded: out of memory",
    "worker_crashed": "the model's process ended: signal SIGKILL",
    "draining": "the server is shutting down",
    "request_timeout": "the request was not done within its timeout_s of 5",
    "model_exceeds_budget": (
        "model 'a.gguf' needs 9000 MiB, 900 MiB more than the 8100 MiB that memory_budget_mb"
        " less memory_margin_mb allow; raise the budget, or lower the model's context"
    ),
    "budget_exceeded": (
        "model 'b.gguf' needs 900 MiB, and the pinned models hold 7500 MiB of the budget;"
        " unpin one of them, or raise the budget"
    ),
}
_FIELDS: Mapping[str, str] = {
    "invalid_request": "temprature",
    "prompt_required": "prompt",
    "model_not_found": "model",
    "prompt_too_long": "prompt",
    "invalid_settings": "max_wait",
    "request_timeout": "timeout_s",
}

_SUMMARIES = {
    "request_too_slow": "The head or the body did not arrive in time.",
    "target_too_long": "Path and query are too long.",
    "header_too_large": "The head, or what surrounds the chunks of a body, is too large.",
    "too_many_headers": "The request has too many header lines.",
    "too_many_connections": "Too many clients are connected.",
}
_RETRY_AFTER = Header(
    name="Retry-After",
    description="seconds after which trying again is likely to help; absent where none can be told",
    schema={"type": "integer", "minimum": 1},
    required=False,
)
_REASON = Header(
    name="X-Modeld-Reason",
    description="the stable word for what went wrong, whatever the body looks like",
    schema={"type": "string"},
)
_AUTHENTICATE = Header(
    name="WWW-Authenticate", value='Bearer realm="modeld"', description="how to send a key"
)

ERROR_HEADERS = (NO_STORE, _REASON, _RETRY_AFTER, _AUTHENTICATE)
"""All headers that errors may have."""


def gate_errors(*, keys: bool, public: bool, needs_service: bool) -> tuple[type[ModeldError], ...]:
    """Return what may go wrong at any route before its own work begins."""
    errors: list[type[ModeldError]] = [InvalidRequestError, ForbiddenError, InternalError]
    if keys and not public:
        errors.append(UnauthorizedError)
    if needs_service:
        errors += [ConfigurationError, StartError, DrainingError]
    return tuple(errors)


class Failures:
    """The responses of errors: each is a component of its own, to which operations refer."""

    def __init__(self) -> None:
        self.components: Json = {}

    def of(self, errors: Iterable[type[ModeldError]], dialect: Dialect | None = None) -> Json:
        """Return a reference for each status that these errors and the refusals have.

        A dialect may give its errors other statuses than the native wire. The server refuses in
        the native way what it has not read far enough to know the dialect.
        """
        own = None if dialect is None or dialect.error_body is ErrorBody else dialect
        reasons: dict[int, list[str]] = {}
        for code in dict.fromkeys(error.code for error in errors):
            status = status_of(_error(code)) if own is None else _example(code, own).status
            reasons.setdefault(status, []).append(code)
        for reason, (status, _) in REFUSALS.items():
            reasons.setdefault(status, []).append(reason)
        return {str(status): self._reference(reasons[status], own) for status in sorted(reasons)}

    def behind(self, reference: Json) -> Json:
        """Return the response to which a reference leads."""
        response: Json = self.components[reference["$ref"].rpartition("/")[2]]
        return response

    def _reference(self, reasons: Sequence[str], dialect: Dialect | None) -> Json:
        known = [*STATUS, *REFUSALS, *reasons]  # plugins have reasons of their own
        reasons = sorted(reasons, key=known.index)
        name = "-".join(reasons if dialect is None else [dialect.name, *reasons])
        if name not in self.components:
            self.components[name] = _response(reasons, dialect)
        return {"$ref": f"#/components/responses/{name}"}


def error_examples() -> Json:
    """Return an error body for each reason; the responses refer to them."""
    known = error_codes()
    examples: Json = {}
    for reason, message in _MESSAGES.items():
        summary = (inspect.getdoc(known[reason]) or reason).split("\n")[0]
        value = {"error": message, "code": STATUS[reason], "reason": reason}
        if reason in _FIELDS:
            value["field"] = _FIELDS[reason]
        examples[reason] = {"summary": summary, "value": value}
    for reason, (status, message) in REFUSALS.items():
        value = {"error": message, "code": status, "reason": reason}
        examples[reason] = {"summary": _SUMMARIES[reason], "value": value}
    return examples


def _response(reasons: Sequence[str], dialect: Dialect | None) -> Json:
    headers = [NO_STORE, _REASON]
    known = error_codes()
    if any(known[reason].retryable for reason in reasons if reason in known):
        headers.append(_RETRY_AFTER)
    if UnauthorizedError.code in reasons:
        headers.append(_AUTHENTICATE)
    examples = {reason: _native_example(reason) for reason in reasons}
    schema: Json = {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}
    if dialect is not None:
        examples |= {r: _told(r, dialect) for r in reasons if r in known}
        own = {"$ref": f"#/components/schemas/{dialect.error_body.__name__}"}
        schema = own if set(reasons) <= known.keys() else {"anyOf": [own, schema]}
    return {
        "description": "The reason is " + " or ".join(f"`{reason}`" for reason in reasons),
        "headers": described_headers(headers),
        "content": {"application/json": {"schema": schema, "examples": examples}},
    }


def _native_example(reason: str) -> Json:
    """Return an example of how an error looks where no dialect has it otherwise."""
    if reason in _MESSAGES or reason in REFUSALS:
        return {"$ref": f"#/components/examples/{reason}"}
    error = _error(reason)
    value = json.loads(b"".join(native_error(error, status_of(error)).pieces))
    return {"summary": error.message, "value": value}


def _told(reason: str, dialect: Dialect) -> Json:
    """Return an example of how a dialect tells an error."""
    body = b"".join(_example(reason, dialect).pieces)
    summary = (inspect.getdoc(error_codes()[reason]) or reason).split("\n")[0]
    return {"summary": summary, "value": json.loads(body)}


def _example(reason: str, dialect: Dialect) -> WholeResponse:
    error = _error(reason)
    return dialect.error(error, status_of(error), "docs-1")


def _error(reason: str) -> ModeldError:
    """Return an error of this kind; what one of a plugin's own says is what its class says."""
    said = _MESSAGES.get(reason) or (inspect.getdoc(error_codes()[reason]) or reason).split("\n")[0]
    return error_from_code(reason, said, field=_FIELDS.get(reason))
