# SPDX-License-Identifier: GPL-3.0-only
"""The tools of a request, which of them may be called, and the form that a response must have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from modeld.constraints import fault_of_schema
from modeld.dialects.body import OnlyFalse, Strict, usable
from modeld.dialects.chat_fields import MAX_TOOLS, ToolName
from modeld.messages import Tool, ToolChoice
from modeld_anthropic.messages.blocks import CacheControl, only

_FORM: Final = 'the form here is {"name": "…", "description": "…", "input_schema": {…}}'

JsonSchema = Annotated[dict[str, Any], usable(fault_of_schema)]


class ToolDefinition(Strict):
    """A tool that the model may call."""

    elsewhere = dict.fromkeys(("function", "parameters"), _FORM)

    type: Literal["custom"] | None = None
    name: ToolName
    description: str | None = Field(None, description="what it does, for the model")
    input_schema: JsonSchema = Field(description="JSON schema of its input")
    strict: bool | None = Field(
        None, description="true makes the input conform to the schema in any case"
    )
    cache_control: CacheControl | None = Field(None, description="taken and without effect")
    eager_input_streaming: bool | None = Field(
        None, description="taken and without effect: inputs are streamed as they come"
    )
    allowed_callers: (
        Annotated[list[Literal["direct"]], Field(min_length=1, max_length=1)] | None
    ) = Field(None, description="only the model itself")
    defer_loading: OnlyFalse | None = Field(None, description="only false")
    input_examples: Annotated[list[Any], Field(max_length=0)] | None = Field(
        None, description="only an empty list; put examples into the description"
    )


OwnTool = Annotated[
    ToolDefinition,
    only("custom", f"only tools of your own are served; {_FORM}"),
]
Tools = Annotated[list[OwnTool], Field(max_length=MAX_TOOLS, fail_fast=True)]


def _of_text(choice: Any) -> Any:
    if isinstance(choice, str):
        raise PydanticCustomError("text", 'must be an object, such as {"type": "auto"}')
    return choice


class Choice(Strict):
    """Which tools may be called."""

    elsewhere = dict.fromkeys(
        ("function", "names", "mode"), 'the form here is {"type": "tool", "name": "…"}'
    )

    type: Literal["auto", "any", "tool", "none"]
    name: ToolName | None = Field(None, description="the tool; only for the type tool")
    disable_parallel_tool_use: bool | None = Field(
        None, description="true makes the model call one tool at a time"
    )


ToolChoiceField = Annotated[Choice, BeforeValidator(_of_text)]


def tools_of(definitions: Sequence[ToolDefinition]) -> tuple[Tool, ...]:
    """Return the tools as the service knows them."""
    return tuple(
        Tool(
            name=each.name,
            description=each.description or "",
            parameters=each.input_schema,
            strict=each.strict is True,
        )
        for each in definitions
    )


def choice_of(choice: Choice | None, *, has_tools: bool) -> ToolChoice:
    """Return which tools may be called; without tools, that none is says nothing."""
    if choice is None or (choice.type == "none" and not has_tools):
        return ToolChoice()
    match choice.type:
        case "auto" | "none" as mode:
            return ToolChoice(mode=mode)
        case "any":
            return ToolChoice(mode="required")
        case "tool":
            assert choice.name is not None  # the body has checked it
            return ToolChoice(mode="required", names=(choice.name,))
