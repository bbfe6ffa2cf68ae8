# SPDX-License-Identifier: GPL-3.0-only
"""How an error looks to a client of Anthropic's API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

from pydantic import BaseModel, Field

from modeld.dialects import WholeResponse, retry_headers
from modeld.errors import ModeldError, NotSupportedError, PromptTooLongError
from modeld_anthropic.headers import own_headers

_STATUS: Final[Mapping[str, int]] = {
    "prompt_too_long": 400,
    "invalid_model": 400,
    "draining": 529,
    "budget_exceeded": 529,
    "backend_unavailable": 500,
    "load_failed": 500,
    "worker_crashed": 500,
    "model_exceeds_budget": 500,
}
"""The statuses of this API where it has none of the native ones."""

_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_RETRIED: Final = frozenset({408, 409, 429})
"""What Anthropic's own clients send again, beside all from 500 on."""

_NAMES: Final[Mapping[str, str]] = {
    "continue_last": "messages",
    "json_schema": "output_config.format",
    "reasoning": "thinking",
    "stop": "stop_sequences",
    "template_kwargs": "chat_template_kwargs",
}
"""What this wire calls members of requests that the service calls otherwise."""

_OF_TOOL = re.compile(r"(?P<tool>tools\[\d+\])\.parameters")
_OF_MESSAGE = re.compile(r"messages\[\d+\].*", re.DOTALL)


class AnthropicErrorCode(BaseModel):
    """Which error it is."""

    error_code: str = Field(description="stable word for what went wrong; safe to test for")


class AnthropicErrorDetail(BaseModel):
    """What went wrong."""

    type: str = Field(description="which kind of error it is, by its status")
    message: str = Field(
        description="what went wrong and, where known, what to do; the field comes first"
    )
    details: AnthropicErrorCode


class AnthropicErrorBody(BaseModel):
    """What every error under ``/v1/messages`` looks like."""

    type: Literal["error"]
    error: AnthropicErrorDetail
    request_id: str = Field(description="what the server's log calls the request")


def error_document(error: ModeldError, status: int, request_id: str) -> dict[str, object]:
    """Return the document that tells an error; ``status`` is the native one."""
    told = {
        "type": _type(_status(error, status)),
        "message": _message(error),
        "details": {"error_code": error.code},
    }
    return {"type": "error", "error": told, "request_id": request_id}


def error_response(error: ModeldError, status: int, request_id: str) -> WholeResponse:
    """Return an error as a response; ``status`` is the native one.

    Clients would try everything again that is an error of the server, also what cannot succeed; the
    header keeps them from that.
    """
    told = WholeResponse.of(error_document(error, status, request_id), _status(error, status))
    headers = {**own_headers(request_id), **retry_headers(error)}
    if not error.retryable and (told.status in _RETRIED or told.status >= 500):
        headers["X-Should-Retry"] = "false"
    return replace(told, headers=headers)


def named(field: str) -> str:
    """Return what this wire calls a member of a request for the service."""
    if of_tool := _OF_TOOL.match(field):
        return f"{of_tool['tool']}.input_schema{field[of_tool.end() :]}"
    head, dot, rest = field.partition(".")
    head, bracket, index = head.partition("[")
    return f"{_NAMES.get(head, head)}{bracket}{index}{dot}{rest}"


def _message(error: ModeldError) -> str:
    """Return what an error says, about the fields of this wire.

    Its messages are counted otherwise than the service's, which has one for each result of a tool.
    """
    message = error.message
    # A name that no body has came from the client, and means no member of a request.
    is_unknown = message.startswith(f"{error.field}: unknown field")
    if error.field is not None and message.startswith(error.field) and not is_unknown:
        field = named(error.field)
        if isinstance(error, NotSupportedError) and _OF_MESSAGE.match(error.field):
            field = "messages"
        message = field + message.removeprefix(error.field)
    if isinstance(error, PromptTooLongError):  # clients look for these words, and shorten it
        message = f"prompt is too long: {message}"
    return message


def _status(error: ModeldError, status: int) -> int:
    return _STATUS.get(error.code, status)


def _type(status: int) -> str:
    return _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
