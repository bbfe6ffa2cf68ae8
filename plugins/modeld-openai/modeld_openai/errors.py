# SPDX-License-Identifier: GPL-3.0-only
"""How an error looks to a client of OpenAI's API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from pydantic import BaseModel, Field

from modeld.dialects import WholeResponse, retry_headers
from modeld.errors import ModeldError, PromptTooLongError

_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_RETRIED: Final = frozenset({408, 409, 429})
"""What OpenAI's own clients send again, beside all from 500 on."""

_TOO_LONG: Final = ("context_length_exceeded", "the prompt is too long")
"""By this code or these words clients know a prompt that they must shorten; its status is 400."""

_NAMES: Final[Mapping[str, str]] = {
    "continue_last": "continue_final_message",
    "inputs": "input",
    "json_schema": "response_format",
    "reasoning": "reasoning_effort",
    "prompt_tokens": "prompt",
    "template_kwargs": "chat_template_kwargs",
}
"""What this wire calls members of requests that the service calls otherwise."""

_UNKNOWN: Final = "unknown field"
_IN_FUNCTION = re.compile(
    r"(?P<which>.*\btool(?:s|_calls)\[\d+\])"
    r"\.(?P<rest>(?:name|description|parameters|strict|arguments)\b.*)"
)


class OpenAIErrorDetail(BaseModel):
    """What went wrong."""

    message: str = Field(description="what went wrong and, where known, what to do")
    type: str = Field(description="which kind of error it is, by its status")
    param: str | None = Field(description="part of the request that is to blame")
    code: str = Field(description="stable word for what went wrong; safe to test for")


class OpenAIErrorBody(BaseModel):
    """What every error under ``/v1`` looks like."""

    error: OpenAIErrorDetail


def named(field: str) -> str:
    """Return what the bodies of chats and completions call a member of a request."""
    if inside := _IN_FUNCTION.fullmatch(field):
        return f"{inside['which']}.function.{inside['rest']}"
    head, dot, rest = field.partition(".")
    head, bracket, index = head.partition("[")
    return f"{_NAMES.get(head, head)}{bracket}{index}{dot}{rest}"


def blamed(error: ModeldError, name_of: Callable[[str], str]) -> tuple[str | None, str]:
    """Return the field that is to blame as the wire calls it, and the words that begin with it."""
    # A name that no body has came from the client, and means no member of a request.
    if error.field is None or error.message.startswith(f"{error.field}: {_UNKNOWN}"):
        return error.field, error.message
    field = name_of(error.field)
    if error.message.startswith(f"{error.field}:"):
        return field, field + error.message.removeprefix(error.field)
    return field, error.message


def error_document(
    error: ModeldError, status: int, name_of: Callable[[str], str] = named
) -> dict[str, dict[str, str | None]]:
    """Return the document that tells an error; ``name_of`` returns what the wire calls a member."""
    param, message = blamed(error, name_of)
    code = error.code
    if isinstance(error, PromptTooLongError):
        code, words = _TOO_LONG
        message = f"{words}: {message}"
    return {
        "error": {
            "message": message,
            "type": _type(status),
            "param": param,
            "code": code,
        }
    }


def error_response(
    error: ModeldError, status: int, name_of: Callable[[str], str] = named
) -> WholeResponse:
    """Return an error as a response.

    Clients would try everything again that is an error of the server, also what cannot succeed; the
    header keeps them from that.
    """
    if isinstance(error, PromptTooLongError):
        status = 400
    headers = retry_headers(error)
    if not error.retryable and (status in _RETRIED or status >= 500):
        headers["X-Should-Retry"] = "false"
    told = WholeResponse.of(error_document(error, status, name_of), status)
    return replace(told, headers=headers)


def _type(status: int) -> str:
    return _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
