# SPDX-License-Identifier: GPL-3.0-only
"""Each field of a response's body, wrong in every way, is refused by its name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from modeld_openai.responses.names import named
from modeld_openai.responses.reading.body import ResponsesBody
from openai_calls import RESPONSES, post
from wrong_fields import COMMON, NO_BOOL, NO_OBJECT, NO_TEXT, NO_WHOLE, said_of

from modeld.errors import NotSupportedError, PromptTooLongError
from tests.support.http.fake_service import FakeService

TOOL: dict[str, Any] = {"type": "function", "name": "f"}
ITEM: dict[str, Any] = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "5"}
THOUGHT = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "a"}]}
PNG = "data:image/png;base64,cG5n"
FORMAT = {"type": "json_schema", "name": "a", "schema": {"type": "object"}}

FIELDS: dict[str, tuple[Any, ...]] = {
    name: values for name, values in COMMON.items() if name != "n"
} | {
    "input": (None, 5, {}, [], "", [ITEM] * 1025),
    "instructions": NO_TEXT,
    "previous_response_id": (*NO_TEXT, "", "x" * 257, "resp_none"),
    "store": NO_BOOL,
    "max_output_tokens": (*NO_WHOLE, 0, 2**31 + 1),
    "include": (5, "a", {}),
    "top_logprobs": (*NO_WHOLE, -1, 21, 5),
    "text": NO_OBJECT,
    "reasoning": NO_OBJECT,
    "tools": (5, "a", {}, [TOOL] * 129),
    "tool_choice": (5, "any", [], True),
    "parallel_tool_calls": NO_BOOL,
    "reasoning_budget_tokens": (*NO_WHOLE, -1),
    "chat_template_kwargs": NO_OBJECT,
    "metadata": (*NO_OBJECT, {str(i): "" for i in range(17)}),
    "stream_options": (*NO_OBJECT, {}),
    "truncation": (5, "auto"),
    "background": (True, 0),
    "service_tier": (5, "flex"),
    "safety_identifier": NO_TEXT,
    "prompt_cache_key": NO_TEXT,
    "conversation": ("conv_1", {"id": "conv_1"}),
    "prompt": ({"id": "p"},),
    "max_tool_calls": (1,),
    "context_management": ([],),
    "moderation": ({},),
}


def item(**members: Any) -> dict[str, Any]:
    return {"input": [{**ITEM, **members}]}


def part(**members: Any) -> dict[str, Any]:
    return item(content=[{"type": "input_text", "text": "a"}, members])


def form(**members: Any) -> dict[str, Any]:
    return {"text": {"format": members}}


INSIDE: list[tuple[dict[str, Any], str]] = [
    *(({"input": [ITEM, wrong]}, "input[1]") for wrong in (5, "hi", None, [])),
    *((item(role=r), "input[0].role") for r in (5, None, "", "tool")),
    *((item(content=c), "input[0].content") for c in (5, None, {}, True)),
    *(
        (item(type=kind, queries=[]), "input[0].type")
        for kind in ("web_search_call", "item_reference", "mcp_call", "custom_tool_call")
    ),
    (item(type=5), "input[0].type"),
    (item(id=""), "input[0].id"),
    (item(status="done"), "input[0].status"),
    (item(phase="commentary"), "input[0].phase"),
    (item(other=1), "input[0].other"),
    *(({"input": [{**CALL, name: 5}]}, f"input[0].{name}") for name in CALL if name != "type"),
    ({"input": [{**CALL, "namespace": "a"}]}, "input[0].namespace"),
    ({"input": [{**CALL, "caller": {}}]}, "input[0].caller"),
    *(({"input": [{**RESULT, name: 5}]}, f"input[0].{name}") for name in RESULT if name != "type"),
    ({"input": [{**THOUGHT, "content": "a"}]}, "input[0].content"),
    ({"input": [{**THOUGHT, "summary": [{"type": "summary_text"}]}]}, "input[0].summary"),
    ({"input": [{**THOUGHT, "encrypted_content": "x"}]}, "input[0].encrypted_content"),
    (part(type="input_file", file_id="f"), "input[0].content[1].type"),
    (part(type="refusal", refusal="no"), "input[0].content[1].type"),
    (part(type=[]), "input[0].content[1].type"),
    (part(type="input_text"), "input[0].content[1].text"),
    (part(type="output_text", text="a", annotations=[1]), "input[0].content[1].annotations"),
    (part(type="input_image"), "input[0].content[1].image_url"),
    (part(type="input_image", image_url="https://a"), "input[0].content[1].image_url"),
    (part(type="input_image", image_url=PNG, detail="high"), "input[0].content[1].detail"),
    (part(type="input_image", image_url=PNG, file_id="f"), "input[0].content[1].file_id"),
    (
        part(type="input_audio", input_audio={"data": "?", "format": "wav"}),
        "input[0].content[1].input_audio.data",
    ),
    ({"include": ["reasoning.encrypted_content"]}, "include[0]"),
    ({"tools": [5]}, "tools[0]"),
    *(
        ({"tools": [{"type": kind, "other": 1}]}, "tools[0].type")
        for kind in ("web_search", "file_search", "code_interpreter", "mcp", "custom")
    ),
    *(
        ({"tools": [{**TOOL, name: 5}]}, f"tools[0].{name}")
        for name in ("type", "name", "description", "parameters", "strict", "other")
    ),
    ({"tool_choice": {}}, "tool_choice.type"),
    ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
    ({"tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice.mode"),
    (form(type="xml"), "text.format.type"),
    (form(type="json_schema", schema={}), "text.format.name"),
    (form(type="json_schema", name="a"), "text.format.schema"),
    *(
        (form(type="text", **{name: value}), f"text.format.{name}")
        for name, value in (("name", "a"), ("description", "a"), ("schema", {}), ("strict", True))
    ),
    *(
        ({"text": {"format": {**FORMAT, name: 5}}}, f"text.format.{name}")
        for name in ("name", "description", "schema", "strict", "json_schema")
    ),
    ({"text": {"verbosity": "low"}}, "text.verbosity"),
    ({"reasoning": {"effort": "much"}}, "reasoning.effort"),
    ({"reasoning": {"summary": "auto"}}, "reasoning.summary"),
    ({"reasoning": {"generate_summary": "auto"}}, "reasoning.generate_summary"),
    ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
    (
        {"stream": True, "stream_options": {"include_obfuscation": True}},
        "stream_options.include_obfuscation",
    ),
    ({"metadata": {"a": 5}}, "metadata.a"),
    ({"n": 2}, "n"),
    ({"messages": []}, "messages"),
    ({"json_schema": {}}, "json_schema"),
]


def test_every_field_is_tried():
    assert set(ResponsesBody.model_fields) == set(FIELDS)


def test_what_is_wrong_is_refused_by_its_name():
    cases = [({name: wrong}, name) for name, values in FIELDS.items() for wrong in values]
    cases += INSIDE
    found = asyncio.run(said_of(RESPONSES, [body for body, _ in cases]))
    assert [
        (body, said, field)
        for (body, field), said in zip(cases, found, strict=True)
        if said != (400, field)
    ] == []


def test_members_are_called_what_this_wire_calls_them():
    assert named("messages[3].content[1]") == "input"
    assert named("json_schema.properties") == "text.format.schema.properties"
    assert named("template_kwargs.a") == "chat_template_kwargs.a"
    assert named("tools[2].name") == "tools[2].name"
    assert named("reasoning") == "reasoning"
    assert named("logprobs") == "include"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PromptTooLongError("9 of 8", field="messages"), "the prompt is too long: 9 of 8"),
        (NotSupportedError("messages[1]: no", field="messages[1]"), "input: no"),
    ],
)
def test_an_error_of_the_service_names_the_field(error, message):
    found = post(FakeService(error), RESPONSES).json()["error"]
    assert (found["param"], found["message"]) == ("input", message)
