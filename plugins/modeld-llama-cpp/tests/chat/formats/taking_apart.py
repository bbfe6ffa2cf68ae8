# SPDX-License-Identifier: GPL-3.0-only
"""Feeds parsers with texts cut in pieces, and puts together what comes of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from modeld_llama_cpp.chat.formats.chat_format import (
    CallDelta,
    ChatFormat,
    Delta,
    ReasoningDelta,
    TextDelta,
)
from modeld_llama_cpp.chat.formats.families import GENERIC, PROBES

from modeld.messages import Tool

WEATHER = Tool(
    name="get_weather",
    parameters={
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "minimum": 1, "maximum": 9},
        },
        "required": ["city"],
        "additionalProperties": False,
    },
    strict=True,
)
PYTHON = Tool(
    name="python",
    parameters={
        "type": "object",
        "properties": {"code": {"type": "string"}},
        "required": ["code"],
        "additionalProperties": False,
    },
)
NOW = Tool(name="now")
TOOLS = (WEATHER, PYTHON, NOW)

FAMILIES: dict[str, ChatFormat] = {each.family.name: each.family for each in PROBES} | {
    GENERIC.name: GENERIC
}


@dataclass
class Apart:
    """What a generation was taken apart into, in the order in which its parts came."""

    thought: str = ""
    said: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    order: str = ""
    """One letter for each stretch: t for thoughts, s for what is said, c for a call."""


def taken_apart(
    family: ChatFormat,
    pieces: Iterable[str],
    *,
    tools: Sequence[Tool] = TOOLS,
    prompt_end: str = "",
) -> Apart:
    parser = family.parser(tools=tools, prompt_end=prompt_end)
    found = put_together(
        itertools.chain(*map(parser.feed, pieces), itertools.chain(parser.finish()))
    )
    assert parser.tool_calls == len(found.calls)
    assert parser.feed("more") == parser.finish() == []
    return found


def put_together(deltas: Iterable[Delta]) -> Apart:
    found = Apart()
    for delta in deltas:
        match delta:
            case TextDelta(text=text):
                assert text
                found.said += text
                found.order += "s"
            case ReasoningDelta(text=text):
                assert text
                found.thought += text
                found.order += "t"
            case CallDelta(name=""):
                assert delta.arguments
                assert not delta.id
                assert delta.index == len(found.calls) - 1
                name, arguments = found.calls[-1]
                found.calls[-1] = name, arguments + delta.arguments
            case CallDelta():
                assert delta.id
                assert not delta.arguments
                assert delta.index == len(found.calls)
                found.calls.append((delta.name, ""))
                found.ids.append(delta.id)
                found.order += "c"
    found.order = "".join(
        letter * (len(list(same)) if letter == "c" else 1)
        for letter, same in itertools.groupby(found.order)
    )
    return found


def cuts(text: str) -> Iterable[list[str]]:
    """Cut a text once, at each position, and between all its characters."""
    yield list(text)
    for index in range(len(text) + 1):
        yield [text[:index], text[index:]]
