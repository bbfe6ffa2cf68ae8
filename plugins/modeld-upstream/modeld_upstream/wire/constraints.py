# SPDX-License-Identifier: GPL-3.0-only
"""What a generation must conform to, as servers of several kinds are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modeld.errors import NotSupportedError
from modeld.requests import GenerateRequest


def schema(request: GenerateRequest) -> dict[str, Any]:
    """Return a JSON schema as OpenAI's API has it; any object is a format of its own there."""
    if request.json_schema == {"type": "object"}:
        return {"response_format": {"type": "json_object"}}
    named = {"name": "response", "schema": request.json_schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def schema_of_chat(request: GenerateRequest) -> dict[str, Any]:
    """Return the same, for servers that have it for chats only.

    Raises:
        NotSupportedError: the request is for a prompt.
    """
    if request.messages is None:
        raise NotSupportedError(
            "json_schema: the model's server takes one for chats only; send messages",
            field="json_schema",
        )
    return schema(request)


def schema_of_llama_server(request: GenerateRequest) -> dict[str, Any]:
    """Return the same for llama-server, which has a field of its own for prompts."""
    return schema(request) if request.messages is not None else {"json_schema": request.json_schema}


def plain(member: str, name: str = "") -> Callable[[GenerateRequest], dict[str, Any]]:
    """Return what makes a field of a member of requests."""
    return lambda request: {name or member: getattr(request, member)}


def structured(member: str) -> Callable[[GenerateRequest], dict[str, Any]]:
    """Return what makes vLLM's field of a member of requests."""
    return lambda request: {"structured_outputs": {member: getattr(request, member)}}
