# SPDX-License-Identifier: GPL-3.0-only
"""The turns of a chat and its tools as the plain data that templates are written for.

The form is that of OpenAI's API, except that arguments are an object: most templates write them as
JSON themselves. :func:`shaped` gives a template what it takes in another form.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec

from modeld import Message
from modeld.errors import InvalidRequestError, NotSupportedError
from modeld.messages import TextPart, Tool, ToolCall
from modeld_llama_cpp.chat.hidden_texts import Hider
from modeld_llama_cpp.chat.traits import Traits

Turn: TypeAlias = dict[str, Any]

MODEL = "assistant"


def turns_of(messages: Sequence[Message], hider: Hider) -> list[Turn]:
    """Return the turns of a chat, with all hidden in them that must be.

    Raises:
        InvalidRequestError: the arguments of a call are no object.
        NotSupportedError: there is something else than text in a content, or a special token in a
            role.
    """
    return [_turn(index, message, hider) for index, message in enumerate(messages)]


def tools_of(tools: Sequence[Tool], hider: Hider) -> list[dict[str, Any]]:
    """Return the tools that a model is told of."""
    return [{"type": "function", "function": _function(tool, hider)} for tool in tools]


def shaped(turns: Sequence[Turn], traits: Traits) -> list[Turn]:
    """Return turns as a template takes them."""
    return [_shaped(turn, traits) for turn in turns]


def with_tools_in_system(
    turns: Sequence[Turn], tools: Sequence[dict[str, Any]], traits: Traits
) -> list[Turn]:
    """Return turns of which the first is the system's and has the tools as a text."""
    text = json.dumps([tool["function"] for tool in tools], ensure_ascii=False)
    if turns and turns[0]["role"] == "system":
        return [turns[0] | {"tools": text}, *turns[1:]]
    (system,) = shaped([{"role": "system", "content": ""}], traits)
    return [system | {"tools": text}, *turns]


def joined(content: list[str] | str) -> str:
    """Return a content as one text."""
    return content if isinstance(content, str) else "\n".join(content)


def _turn(index: int, message: Message, hider: Hider) -> Turn:
    where = f"messages[{index}]"
    if hider.hide(message.role) != message.role:
        raise NotSupportedError(
            f"{where}.role has a special token of the model in it", field=f"{where}.role"
        )
    by_model = message.role == MODEL
    turn: Turn = {"role": message.role}
    if isinstance(message.content, str):
        turn["content"] = hider.hide(message.content, by_model=by_model)
    else:
        texts = [_text(where, at, part) for at, part in enumerate(message.content)]
        turn["content"] = [hider.hide(text, by_model=by_model) for text in texts]
    if message.reasoning:
        turn["reasoning"] = hider.hide(message.reasoning, by_model=by_model)
    for name in ("name", "tool_call_id"):
        if value := getattr(message, name):
            turn[name] = hider.hide(value)
    if message.tool_calls:
        turn["tool_calls"] = [
            _call(f"{where}.tool_calls[{at}]", call, hider)
            for at, call in enumerate(message.tool_calls)
        ]
    return turn


def _text(where: str, at: int, part: object) -> str:
    if not isinstance(part, TextPart):
        raise NotSupportedError(
            f"{where}.content[{at}] is no text, and the model reads nothing else",
            field=f"{where}.content[{at}]",
        )
    return part.text


def _call(where: str, call: ToolCall, hider: Hider) -> dict[str, Any]:
    try:
        arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as exc:
        field = f"{where}.arguments"
        raise InvalidRequestError(f"{field} are no JSON object: {exc}", field=field) from exc
    function = {"name": hider.hide(call.name), "arguments": hider.hide_all(arguments)}
    return {"id": hider.hide(call.id), "type": "function", "function": function}


def _function(tool: Tool, hider: Hider) -> dict[str, Any]:
    parameters = (
        {"type": "object", "properties": {}} if tool.parameters is None else tool.parameters
    )
    return {
        "name": hider.hide(tool.name),
        "description": hider.hide(tool.description),
        "parameters": hider.hide_all(parameters),
    }


def _shaped(turn: Turn, traits: Traits) -> Turn:
    made = dict(turn)
    reasoning = made.pop("reasoning", None)
    if reasoning is not None and traits.reasoning is not None:
        made[traits.reasoning] = reasoning
    content = turn["content"]
    if traits.is_typed(turn["role"]):
        texts = [content] if isinstance(content, str) else content
        made["content"] = [{"type": "text", "text": text} for text in texts]
    else:
        made["content"] = joined(content)
    if "tool_calls" in turn:
        if traits.no_content_beside_calls and not made["content"]:
            made["content"] = None
        if traits.arguments_as_text:
            made["tool_calls"] = [_with_arguments_as_text(call) for call in turn["tool_calls"]]
    return made


def _with_arguments_as_text(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    written = msgspec.json.encode(function["arguments"]).decode()
    return call | {"function": function | {"arguments": written}}
