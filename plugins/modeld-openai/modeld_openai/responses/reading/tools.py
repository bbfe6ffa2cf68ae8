# SPDX-License-Identifier: GPL-3.0-only
"""The tools of a request, which of them may be called, and the form that its text must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag

from modeld.dialects.body import Strict, only_kinds, refused, wrong
from modeld.messages import Tool, ToolChoice
from modeld_openai.chat.tools import MAX_TOOLS, OTHER_CHOICE, JsonSchema, Mode, ToolName


class FunctionTool(Strict):
    """A function that the model may call."""

    elsewhere = dict.fromkeys(
        ("function", "input_schema"),
        'the form here is {"type": "function", "name": "…", "parameters": {…}}',
    )

    type: Literal["function"]
    name: ToolName
    description: str | None = Field(None, description="what it does, for the model")
    parameters: JsonSchema | None = Field(
        None, description="JSON schema of its arguments; without it there are none"
    )
    strict: bool | None = Field(
        None, description="true makes the arguments conform to the schema in any case"
    )


_ONLY_FUNCTIONS: Final = "is not served; functions are the only kind of tool"

FunctionTools = Annotated[
    list[Annotated[FunctionTool, only_kinds(("function",), _ONLY_FUNCTIONS)]],
    Field(max_length=MAX_TOOLS, fail_fast=True),
]


class NamedTool(Strict):
    """A function by its name."""

    elsewhere = dict.fromkeys(
        ("function", "names", "mode"), 'the form here is {"type": "function", "name": "…"}'
    )

    type: Literal["function"]
    name: ToolName


class AllowedTools(Strict):
    """A choice among some of the tools."""

    elsewhere = {
        "allowed_tools": 'the form here is {"type": "allowed_tools", "mode": "…", "tools": […]}'
    }

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=MAX_TOOLS, fail_fast=True)]


_CHOICES: Final = {"function": "~one", "allowed_tools": "~some"}


def _kind_of_choice(given: Any) -> str:
    if not isinstance(given, dict):
        return "~mode"
    kind = given.get("type")
    return _CHOICES.get(kind, "~one") if isinstance(kind, str) else "~one"


Choice = Annotated[
    Annotated[Mode, Tag("~mode")]
    | Annotated[NamedTool, Tag("~one")]
    | Annotated[AllowedTools, Tag("~some")],
    Discriminator(_kind_of_choice),
    only_kinds(_CHOICES, OTHER_CHOICE),
]


class TextFormat(Strict):
    """The form of a text."""

    elsewhere = {
        "json_schema": 'the form here is {"type": "json_schema", "name": "…", "schema": {…}}'
    }

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = Field(
        None, min_length=1, max_length=64, description="of a schema; it has no effect"
    )
    description: str | None = Field(None, description="of a schema; it has no effect")
    json_schema: JsonSchema | None = Field(
        None, alias="schema", description="what the text conforms to, for the type json_schema"
    )
    strict: bool | None = Field(None, description="a schema is kept to in any case")


class TextConfig(Strict):
    """What the text of a response is like."""

    format: TextFormat | None = Field(None, description="its form")
    verbosity: Annotated[None, refused("is not served")] = None


def tools_of(tools: Sequence[FunctionTool]) -> tuple[Tool, ...]:
    """Return the tools as the service knows them."""
    return tuple(
        Tool(
            name=each.name,
            description=each.description or "",
            parameters=each.parameters,
            strict=each.strict is True,
        )
        for each in tools
    )


def choice_of(choice: Mode | NamedTool | AllowedTools | None, *, has_tools: bool) -> ToolChoice:
    """Return which tools may be called; without tools, that none is says nothing."""
    match choice:
        case None:
            return ToolChoice()
        case NamedTool():
            return ToolChoice(mode="required", names=(choice.name,))
        case AllowedTools():
            return ToolChoice(mode=choice.mode, names=tuple(tool.name for tool in choice.tools))
        case "none" if not has_tools:
            return ToolChoice()
        case mode:
            return ToolChoice(mode=mode)


def schema_of(config: TextConfig | None) -> Mapping[str, Any] | None:
    """Return the JSON schema that a text must conform to, or None.

    Raises:
        InvalidRequestError: the type wants a schema and there is none, or the other way round.
    """
    form = None if config is None else config.format
    if form is None:
        return None
    if form.type == "json_schema":
        for name in ("name", "schema"):
            if getattr(form, "json_schema" if name == "schema" else name) is None:
                raise wrong(f"text.format.{name}", "must be given")
        return form.json_schema
    for name in ("name", "description", "json_schema", "strict"):
        if getattr(form, name) is not None:
            wire = "schema" if name == "json_schema" else name
            raise wrong(f"text.format.{wire}", "is for the type json_schema only")
    return {"type": "object"} if form.type == "json_object" else None
