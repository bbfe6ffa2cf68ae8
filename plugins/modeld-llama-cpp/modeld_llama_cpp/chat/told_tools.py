# SPDX-License-Identifier: GPL-3.0-only
"""Describes tools to a model in its prompt, where its chat template knows of none.

The form is the one that most models have seen: calls are JSON objects inside of ``<tool_call>``,
and results stand inside of ``<tool_response>`` in a turn of the user. What a template does know is
left to it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from modeld_llama_cpp.chat.chat_values import Turn, joined
from modeld_llama_cpp.chat.traits import Traits

_TOLD = """\
You may call functions to help with the user's request. These are the functions, as JSON objects:
<tools>
{tools}
</tools>

To call a function, write a JSON object with its name and its arguments within <tool_call></tool_call>:
<tool_call>
{{"name": "NAME", "arguments": {{"ARGUMENT": "VALUE"}}}}
</tool_call>"""  # noqa: E501  (the line is the model's, not ours)


def told(turns: Sequence[Turn], tools: Sequence[dict[str, Any]], traits: Traits) -> list[Turn]:
    """Return turns in which all is said in words that the template would leave out.

    Where tools are told so, calls are too, in the form that the model is asked for.
    """
    made = list(turns)
    in_words = bool(tools) and not traits.keeps_tools
    if in_words or not traits.keeps_calls:
        made = [_with_calls_told(turn) for turn in made]
    if in_words or not traits.keeps_results:
        made = _with_results_told(made)
    if in_words:
        made = _with_tools_told(made, tools, traits)
    return made


def _with_calls_told(turn: Turn) -> Turn:
    if "tool_calls" not in turn:
        return turn
    made = {key: value for key, value in turn.items() if key != "tool_calls"}
    calls = [f"<tool_call>\n{_json(each['function'])}\n</tool_call>" for each in turn["tool_calls"]]
    made["content"] = "\n".join([each for each in (joined(turn["content"]),) if each] + calls)
    return made


def _with_results_told(turns: Sequence[Turn]) -> list[Turn]:
    """Return turns with the results of tools in one turn of the user where they follow each other.

    Many templates refuse two turns of the user in a row.
    """
    made: list[Turn] = []
    follows = False
    for turn in turns:
        if turn["role"] != "tool":
            made.append(turn)
        else:
            result = f"<tool_response>\n{joined(turn['content'])}\n</tool_response>"
            if follows:
                result = f"{made.pop()['content']}\n{result}"
            made.append({"role": "user", "content": result})
        follows = turn["role"] == "tool"
    return made


def _with_tools_told(
    turns: list[Turn], tools: Sequence[dict[str, Any]], traits: Traits
) -> list[Turn]:
    """Return turns of which the first says what tools there are."""
    text = _TOLD.format(tools="\n".join(map(_json, tools)))
    role = "system" if traits.keeps_system else "user"
    if turns and turns[0]["role"] == role:
        said = joined(turns[0]["content"])
        both = f"{said}\n\n{text}" if role == "system" else f"{text}\n\n{said}"
        return [turns[0] | {"content": both}, *turns[1:]]
    return [{"role": role, "content": text}, *turns]


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)
