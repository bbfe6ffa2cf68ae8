# SPDX-License-Identifier: GPL-3.0-only
"""How an error looks to a client of Ollama's API."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from pydantic import BaseModel, Field

from modeld.dialects import WholeResponse, retry_headers
from modeld.dialects.json_text import json_line
from modeld.errors import ModeldError, ModelNotFoundError, TemplateError
from modeld.sampling import COMMON

_NAMES: Final = {
    "inputs": "input",
    "json_schema": "format",
    "keep_alive_s": "keep_alive",
    "max_tokens": "options.num_predict",
    "reasoning": "think",
    "stop": "options.stop",
}
"""What this wire calls members of requests that the service calls otherwise."""

_OPTIONS: Final = frozenset(row.name for row in COMMON)
_IN_FUNCTION = re.compile(
    r"(?P<which>.*\btool(?:s|_calls)\[\d+\])\.(?P<rest>(?!function|type|id).+)"
)
_IMAGE = re.compile(r"(?P<message>messages\[\d+\])\.content\[(?P<index>\d+)\]")
_UNKNOWN = re.compile(r"there is no model (?P<model>'.*?'|\".*?\")(?P<rest>.*)", re.DOTALL)


_NATIVE_WAY: Final = "send `prompt` instead of `messages`"
_OWN_WAY: Final = "send a prompt to /api/generate with `raw`"
"""What to do without a chat template, on the native wire and on this one."""


class OllamaErrorBody(BaseModel):
    """What every error under ``/api`` looks like."""

    error: str = Field(description="what went wrong and, where known, what to do")


def error_line(error: ModeldError, own: frozenset[str]) -> bytes:
    """Return an error as JSON on one line; ``own`` are the options that backends declare."""
    return json_line({"error": message(error, own)})


def error_response(error: ModeldError, status: int, own: frozenset[str]) -> WholeResponse:
    """Return an error as a response."""
    told = WholeResponse(pieces=[error_line(error, own)], status=status)
    return replace(told, headers=retry_headers(error))


def message(error: ModeldError, own: frozenset[str]) -> str:
    """Return what an error says, in this wire's names; that a model is unknown as Ollama has it."""
    said = error.message
    if isinstance(error, ModelNotFoundError) and (found := _UNKNOWN.fullmatch(said)):
        return f"model {found['model']} not found{found['rest']}"
    if isinstance(error, TemplateError):
        return said.replace(_NATIVE_WAY, _OWN_WAY)
    is_ours = said.startswith(f"{error.field}: unknown field")
    if error.field is not None and said.startswith(f"{error.field}:") and not is_ours:
        return named(error.field, own) + said.removeprefix(error.field)
    return said


def named(field: str, own: frozenset[str]) -> str:
    """Return what this wire calls a member of a request for the service."""
    if inside := _IN_FUNCTION.fullmatch(field):
        return f"{inside['which']}.function.{inside['rest']}"
    if image := _IMAGE.fullmatch(field):
        return f"{image['message']}.images[{image['index']}]"
    head, dot, rest = field.partition(".")
    head, bracket, index = head.partition("[")
    if head in _OPTIONS or head in own:
        head = f"options.{head}"
    return f"{_NAMES.get(head, head)}{bracket}{index}{dot}{rest}"
