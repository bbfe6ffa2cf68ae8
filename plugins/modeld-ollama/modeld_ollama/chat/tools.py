# SPDX-License-Identifier: GPL-3.0-only
"""The tools of a chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from modeld.constraints import fault_of_schema
from modeld.dialects.body import Strict, usable
from modeld.dialects.chat_fields import MAX_TOOLS, ToolName
from modeld.messages import Tool


class OllamaFunctionDefinition(Strict):
    """A function that the model may call."""

    elsewhere = {"input_schema": "it is called `parameters` here"}

    name: ToolName
    description: str | None = Field(None, description="what it does, for the model")
    parameters: Annotated[dict[str, Any], usable(fault_of_schema)] | None = Field(
        None, description="JSON schema of its arguments; without it there are none"
    )
    strict: bool | None = Field(
        None, description="true makes the arguments conform to the schema in any case"
    )


class OllamaToolDefinition(Strict):
    """A tool; functions are the only kind."""

    elsewhere = dict.fromkeys(
        ("name", "description", "parameters", "strict", "input_schema"),
        'the form here is {"type": "function", "function": {"name": "…", "parameters": {…}}}',
    )

    type: Literal["function"] | None = None
    function: OllamaFunctionDefinition


Tools = Annotated[list[OllamaToolDefinition], Field(max_length=MAX_TOOLS, fail_fast=True)]


def tools_of(definitions: Sequence[OllamaToolDefinition]) -> tuple[Tool, ...]:
    """Return the tools as the service knows them."""
    return tuple(
        Tool(
            name=each.function.name,
            description=each.function.description or "",
            parameters=each.function.parameters,
            strict=each.function.strict is True,
        )
        for each in definitions
    )
