# SPDX-License-Identifier: GPL-3.0-only
"""The tools of a chat, which of them may be called, and the form that a response must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag

from modeld.constraints import fault_of_schema
from modeld.dialects.body import Strict, only_kinds, usable, wrong
from modeld.messages import Tool, ToolChoice

MAX_TOOLS = 128

ToolName = Annotated[str, Field(min_length=1, max_length=128)]
JsonSchema = Annotated[dict[str, Any], usable(fault_of_schema)]


class FunctionDefinition(Strict):
    """A function that the model may call."""

    elsewhere = {"input_schema": "it is called `parameters` here"}

    name: ToolName
    description: str | None = Field(None, description="what it does, for the model")
    parameters: JsonSchema | None = Field(
        None, description="JSON schema of its arguments; without it there are none"
    )
    strict: bool | None = Field(
        None, description="true makes the arguments conform to the schema in any case"
    )


class ToolDefinition(Strict):
    """A tool; functions are the only kind."""

    elsewhere = dict.fromkeys(
        ("name", "description", "parameters", "strict", "input_schema"),
        'the form here is {"type": "function", "function": {"name": "…", "parameters": {…}}}',
    )

    type: Literal["function"]
    function: FunctionDefinition


Tools = Annotated[list[ToolDefinition], Field(max_length=MAX_TOOLS, fail_fast=True)]


class NamedFunction(Strict):
    """The name of a function."""

    name: ToolName


class NamedTool(Strict):
    """A tool by its name."""

    elsewhere = dict.fromkeys(
        ("name", "names", "mode"),
        'the form here is {"type": "function", "function": {"name": "…"}}',
    )

    type: Literal["function"]
    function: NamedFunction


class AllowedTools(Strict):
    """Some of the tools."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=MAX_TOOLS, fail_fast=True)]


class SomeTools(Strict):
    """A choice among some of the tools."""

    elsewhere = dict.fromkeys(
        ("mode", "tools"),
        'the form here is {"type": "allowed_tools", "allowed_tools": {"mode": "…", "tools": […]}}',
    )

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


Mode = Literal["none", "auto", "required"]

OTHER_CHOICE: Final = (
    "is not served; there is function and allowed_tools, and where any tool is to be called the"
    " text `required` in place of the object"
)
"""What to send in place of a choice that is an object of another type."""


def _kind_of_choice(given: Any) -> str:
    if not isinstance(given, dict):
        return "~mode"
    return "~some" if given.get("type") == "allowed_tools" else "~one"


Choice = Annotated[
    Annotated[Mode, Tag("~mode")]
    | Annotated[NamedTool, Tag("~one")]
    | Annotated[SomeTools, Tag("~some")],
    Discriminator(_kind_of_choice),
    only_kinds(("function", "allowed_tools"), OTHER_CHOICE),
]


class SchemaFormat(Strict):
    """A JSON schema with a name."""

    name: str = Field(min_length=1, max_length=64, description="taken and without effect")
    description: str | None = Field(None, description="taken and without effect")
    json_schema: JsonSchema | None = Field(
        None, alias="schema", description="what the response conforms to; without it any object"
    )
    strict: bool | None = Field(None, description="the schema is kept to in any case")


class ResponseFormat(Strict):
    """The form of a response."""

    elsewhere = dict.fromkeys(
        ("name", "description", "schema", "strict"),
        'the form here is {"type": "json_schema", "json_schema": {"name": "…", "schema": {…}}}',
    )

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaFormat | None = Field(None, description="only for the type json_schema")


def tools_of(definitions: Sequence[ToolDefinition]) -> tuple[Tool, ...]:
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


def choice_of(choice: Mode | NamedTool | SomeTools | None, *, has_tools: bool) -> ToolChoice:
    """Return which tools may be called; without tools, that none is says nothing."""
    match choice:
        case None:
            return ToolChoice()
        case NamedTool():
            return ToolChoice(mode="required", names=(choice.function.name,))
        case SomeTools(allowed_tools=allowed):
            names = tuple(tool.function.name for tool in allowed.tools)
            return ToolChoice(mode=allowed.mode, names=names)
        case "none" if not has_tools:
            return ToolChoice()
        case mode:
            return ToolChoice(mode=mode)


def schema_of(form: ResponseFormat | None) -> Mapping[str, Any] | None:
    """Return the JSON schema that a response must conform to, or None.

    Raises:
        InvalidRequestError: the type wants a schema and there is none, or the other way round.
    """
    if form is None:
        return None
    where = "response_format.json_schema"
    if form.type != "json_schema":
        if form.json_schema is not None:
            raise wrong(where, "is for the type json_schema only")
        return {"type": "object"} if form.type == "json_object" else None
    if form.json_schema is None:
        raise wrong(where, "must be given")
    schema = form.json_schema.json_schema
    return {"type": "object"} if schema is None else schema
