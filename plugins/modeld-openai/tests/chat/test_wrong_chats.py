# SPDX-License-Identifier: GPL-3.0-only
"""Each field of a chat's body, wrong in every way, is refused by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from openai_calls import CHAT, TURN
from wrong_fields import COMMON, NO_BOOL, NO_OBJECT, NO_TEXT, NO_WHOLE, said_of

PNG = "data:image/png;base64,cG5n"
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MADE = {"role": "assistant", "tool_calls": [CALL]}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f"}}
SCHEMA = {"name": "a", "schema": {"type": "object"}}

FIELDS: dict[str, tuple[Any, ...]] = COMMON | {
    "messages": (None, "hi", {}, [], [TURN] * 1025),
    "max_tokens": (*NO_WHOLE, 0, 2**31 + 1),
    "max_completion_tokens": (*NO_WHOLE, 0, 2**31 + 1),
    "logprobs": NO_BOOL,
    "top_logprobs": (*NO_WHOLE, -1, 21, 5),
    "tools": (5, "a", {}, [TOOL] * 129),
    "tool_choice": (5, "any", [], True),
    "parallel_tool_calls": NO_BOOL,
    "reasoning_effort": (5, "much", True),
    "reasoning_budget_tokens": (*NO_WHOLE, -1),
    "chat_template_kwargs": NO_OBJECT,
    "continue_final_message": NO_BOOL,
    "add_generation_prompt": (*NO_BOOL, False),
    "metadata": (*NO_OBJECT, {str(i): "" for i in range(17)}),
    "service_tier": (5, "flex"),
    "store": (True, 0, "no"),
    "safety_identifier": NO_TEXT,
    "prompt_cache_key": NO_TEXT,
    "functions": ([], [{"name": "f"}]),
    "function_call": ("auto", {"name": "f"}),
    "audio": ({"voice": "alloy"},),
    "modalities": (["text", "text"], [], "text"),
    "prediction": ({"type": "content"},),
    "verbosity": ("low",),
    "web_search_options": ({},),
    "response_format": (5, "json", []),
}


def turn(**members: Any) -> dict[str, Any]:
    return {**TURN, **members}


def part(**members: Any) -> dict[str, Any]:
    return turn(content=[{"type": "text", "text": "a"}, members])


INSIDE: list[tuple[dict[str, Any], str]] = [
    *(({"messages": [TURN, wrong]}, "messages[1]") for wrong in (5, "hi", None, [])),
    *(({"messages": [turn(role=r)]}, "messages[0].role") for r in (5, None, "", "function")),
    *(({"messages": [turn(content=c)]}, "messages[0].content") for c in (5, None, {}, True)),
    *(({"messages": [turn(name=n)]}, "messages[0].name") for n in (5, [], "x" * 129)),
    ({"messages": [turn(tool_call_id="c")]}, "messages[0].tool_call_id"),
    ({"messages": [turn(role="tool")]}, "messages[0].tool_call_id"),
    ({"messages": [turn(tool_calls=[CALL])]}, "messages[0].tool_calls"),
    ({"messages": [turn(reasoning_content="x")]}, "messages[0].reasoning_content"),
    ({"messages": [turn(reasoning="x")]}, "messages[0].reasoning"),
    (
        {"messages": [turn(role="assistant", reasoning="x", reasoning_content="y")]},
        "messages[0].reasoning",
    ),
    ({"messages": [turn(refusal="no")]}, "messages[0].refusal"),
    ({"messages": [turn(audio={"id": "a"})]}, "messages[0].audio"),
    ({"messages": [turn(function_call={})]}, "messages[0].function_call"),
    ({"messages": [turn(annotations=[1])]}, "messages[0].annotations"),
    ({"messages": [turn(other=1)]}, "messages[0].other"),
    ({"messages": [{"role": "assistant"}]}, "messages[0].content"),
    ({"messages": [{**MADE, "tool_calls": 5}]}, "messages[0].tool_calls"),
    ({"messages": [{**MADE, "tool_calls": [5]}]}, "messages[0].tool_calls[0]"),
    (
        {"messages": [{**MADE, "tool_calls": [{**CALL, "type": "custom"}]}]},
        "messages[0].tool_calls[0].type",
    ),
    (
        {"messages": [{**MADE, "tool_calls": [{**CALL, "function": {"name": "f"}}]}]},
        "messages[0].tool_calls[0].function.arguments",
    ),
    (
        {"messages": [{**MADE, "tool_calls": [{**CALL, "index": "0"}]}]},
        "messages[0].tool_calls[0].index",
    ),
    (
        {"messages": [{**MADE, "tool_calls": [{**CALL, "other": 1}]}]},
        "messages[0].tool_calls[0].other",
    ),
    ({"messages": [part(type="text")]}, "messages[0].content[1].text"),
    ({"messages": [part(type="file")]}, "messages[0].content[1].type"),
    ({"messages": [part(type=[])]}, "messages[0].content[1].type"),
    ({"messages": [part(type="text", text="a", x=1)]}, "messages[0].content[1].x"),
    ({"messages": [part(type="image_url")]}, "messages[0].content[1].image_url"),
    ({"messages": [part(type="image_url", image_url=PNG)]}, "messages[0].content[1].image_url"),
    *(
        (
            {"messages": [part(type="image_url", image_url={"url": url})]},
            "messages[0].content[1].image_url.url",
        )
        for url in ("https://a/b.png", "data:image/png,x", "data:image/png;base64,?", PNG[:22], 5)
    ),
    (
        {"messages": [part(type="image_url", image_url={"url": PNG, "detail": "high"})]},
        "messages[0].content[1].image_url.detail",
    ),
    (
        {"messages": [part(type="input_audio", input_audio={"data": "?", "format": "wav"})]},
        "messages[0].content[1].input_audio.data",
    ),
    (
        {"messages": [part(type="input_audio", input_audio={"data": "aaaa", "format": "ogg"})]},
        "messages[0].content[1].input_audio.format",
    ),
    ({"tools": [5]}, "tools[0]"),
    ({"tools": [{**TOOL, "type": "custom"}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    *(
        ({"tools": [{**TOOL, "function": {"name": "f", name: 5}}]}, f"tools[0].function.{name}")
        for name in ("name", "description", "parameters", "strict", "other")
    ),
    ({"tool_choice": {}}, "tool_choice.type"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
    ({"tool_choice": {"type": "function", "function": {}}}, "tool_choice.function.name"),
    ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
    (
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "none", "tools": []}}},
        "tool_choice.allowed_tools.mode",
    ),
    ({"response_format": {}}, "response_format.type"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    (
        {"response_format": {"type": "text", "json_schema": SCHEMA}},
        "response_format.json_schema",
    ),
    *(
        (
            {"response_format": {"type": "json_schema", "json_schema": {**SCHEMA, name: 5}}},
            f"response_format.json_schema.{name}",
        )
        for name in ("name", "description", "schema", "strict", "json_schema")
    ),
    ({"modalities": ["audio"]}, "modalities[0]"),
    ({"logit_bias": {"a": 1}}, "logit_bias.a"),
    ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
    ({"metadata": {"a": 5}}, "metadata.a"),
    ({"json_schema": {}}, "json_schema"),
    ({"stream_options": {}}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    (
        {"stream": True, "stream_options": {"include_obfuscation": True}},
        "stream_options.include_obfuscation",
    ),
]


def cases() -> Iterator[tuple[dict[str, Any], str]]:
    for name, values in FIELDS.items():
        for wrong in values:
            yield {name: wrong}, name
    yield from INSIDE


def test_every_field_is_tried():
    from modeld_openai.chat.body import ChatCompletionBody

    assert set(ChatCompletionBody.model_fields) == set(FIELDS)


def test_what_is_wrong_is_refused_by_its_name():
    found = asyncio.run(said_of(CHAT, [body for body, _ in cases()]))
    assert [
        (body, said, field)
        for (body, field), said in zip(cases(), found, strict=True)
        if said != (400, field)
    ] == []


@pytest.mark.parametrize(
    ("name", "advice"),
    [("functions", "send `tools`"), ("function_call", "send `tool_choice`")],
)
def test_what_is_deprecated_names_what_came_after_it(name, advice):
    from openai_calls import post

    from tests.support.http.fake_service import FakeService

    error = post(FakeService(), CHAT, **{name: "x"}).json()["error"]
    assert advice in error["message"]
