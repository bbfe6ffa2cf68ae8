# SPDX-License-Identifier: GPL-3.0-only
"""Finds out what a chat template makes of tools, their calls and results, and of reasoning.

Templates differ in what they take and do not say so. Each thing is tried with a chat that can be
recognised, in the forms that are in use. It runs where templates are rendered, once for each
template; :class:`modeld_llama_cpp.chat.traits.Traits` is how the engine reads what is found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from itertools import product
from typing import Any, TypeAlias

from modeld_llama_cpp.chat import typed_content
from modeld_llama_cpp.chat.typed_content import Messages, attempt, message

Values: TypeAlias = dict[str, Any]

_TOOL = "thenameofthistool"
_ARGUMENT = "thenameofthisargument"
_SPOILT = re.compile(rf"""'{_ARGUMENT}'\s*:|\\["']{_ARGUMENT}""")
"""Arguments as Python writes them, and JSON within JSON."""

_ID = "abcdefghi"
"""Some templates take no other ids than those of nine letters or digits."""

_THOUGHT = "thethoughtbehindit"
_REASONING = ("reasoning_content", "thinking", "reasoning")
"""The members of a message in which templates look for what the model has thought."""


def traits_of(variables: Collection[str], render: Callable[[Values], str]) -> dict[str, Any]:
    """Return what a template makes of a chat, as plain data.

    ``variables`` are those that it reads; ``render`` renders it with some of them.
    """

    def write(messages: Messages) -> str:
        return render({"messages": messages})

    typed = typed_content.typed_roles(write)
    by_name = _keeps_tools(render, typed)
    in_system = not by_name and _keeps_tools_in_system(write, typed)
    calls = _form_of_calls(write, typed)
    result = _form_of_results(write, typed, calls)
    return {
        "typed": typed if result is None else typed | {"tool": result},
        "variables": sorted(variables),
        "keeps_system": "system" in typed,
        "keeps_tools": by_name or in_system,
        "tools_in_system": in_system,
        "keeps_calls": calls is not None,
        "keeps_results": result is not None,
        "arguments_as_text": calls is not None and calls[1],
        "no_content_beside_calls": calls is not None and calls[0] is None,
        "reasoning": _member_of_reasoning(write, typed, calls),
    }


def _keeps_tools(render: Callable[[Values], str], typed: dict[str, bool]) -> bool:
    argument = {_ARGUMENT: {"type": "string", "description": "?"}}
    parameters = {"type": "object", "properties": argument, "required": [_ARGUMENT]}
    function = {"name": _TOOL, "description": "?", "parameters": parameters}
    tools = [{"type": "function", "function": function}]

    def write(messages: Messages) -> str:
        return render({"messages": messages, "tools": tools})

    user = message("user", "?", typed=typed.get("user", False))
    system = message("system", "?", typed=typed.get("system", False))
    return any(_TOOL in attempt(write, chat) for chat in ([user], [system, user]))


def _keeps_tools_in_system(write: typed_content.Render, typed: dict[str, bool]) -> bool:
    """Return whether tools are kept as a text in a system turn, as Phi's templates have them."""
    user = message("user", "?", typed=typed.get("user", False))
    system = message("system", "?", typed=typed.get("system", False))
    return _TOOL in attempt(write, [system | {"tools": _TOOL}, user])


def _form_of_calls(
    write: typed_content.Render, typed: dict[str, bool]
) -> tuple[str | None, bool] | None:
    """Return the content beside a call that keeps it, and whether its arguments are a text."""
    for as_text, content in product((False, True), ("", None)):
        text = attempt(write, _called(typed, content, as_text=as_text))
        if _TOOL in text and _ARGUMENT in text and not _SPOILT.search(text):
            return content, as_text
    return None


def _form_of_results(
    write: typed_content.Render,
    typed: dict[str, bool],
    calls: tuple[str | None, bool] | None,
) -> bool | None:
    """Return whether the results of tools are lists of parts, or None if they are not kept."""
    if calls is None:
        return None
    content, as_text = calls
    chat = _called(typed, content, as_text=as_text)[:2]
    named = {"name": _TOOL, "tool_call_id": _ID}
    return typed_content.kept_form(
        write, lambda typed: [*chat, typed_content.marked("tool", typed=typed) | named]
    )


def _member_of_reasoning(
    write: typed_content.Render,
    typed: dict[str, bool],
    calls: tuple[str | None, bool] | None,
) -> str | None:
    """Return the member in which a template looks for what the model has thought, if any.

    Many write it only of the last turn, and some only beside calls.
    """
    user = message("user", "?", typed=typed.get("user", False))
    said = message("assistant", "?", typed=typed.get("assistant", False))
    chats = [[user, said]]
    if calls is not None:
        chats.append(_called(typed, calls[0], as_text=calls[1]))
    for member, chat in ((member, chat) for member in _REASONING for chat in chats):
        thinking = [chat[0], chat[1] | {member: _THOUGHT}, *chat[2:]]
        if _THOUGHT in attempt(write, thinking):
            return member
    return None


def _called(typed: dict[str, bool], content: str | None, *, as_text: bool) -> Messages:
    """Return a chat with a call of a tool and its result."""
    arguments = f'{{"{_ARGUMENT}": "?"}}' if as_text else {_ARGUMENT: "?"}
    call = {"id": _ID, "type": "function", "function": {"name": _TOOL, "arguments": arguments}}
    return [
        message("user", "?", typed=typed.get("user", False)),
        {"role": "assistant", "content": content, "tool_calls": [call]},
        {"role": "tool", "content": "?", "name": _TOOL, "tool_call_id": _ID},
    ]
