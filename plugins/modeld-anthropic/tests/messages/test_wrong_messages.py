# SPDX-License-Identifier: GPL-3.0-only
"""Each field of a message's body, wrong in every way, is refused by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic_calls import COUNT, MESSAGES, TURN, post
from modeld_anthropic.messages.body import CountTokensBody, MessagesBody
from wrong_anthropic_fields import (
    NO_BOOL,
    NO_LIST,
    NO_NUMBER,
    NO_OBJECT,
    NO_TEXT,
    NO_WHOLE,
    said_of,
)

from tests.support.http.fake_service import FakeService, ask, make_app

TOOL: dict[str, Any] = {"name": "f", "input_schema": {"type": "object"}}
FORM = {"type": "json_schema", "schema": {"type": "object"}}
CALL = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "c"}
PNG = {"type": "base64", "media_type": "image/png", "data": "cG5n"}
TEXT = {"type": "text", "media_type": "text/plain", "data": "a"}

CONVERSATION: dict[str, tuple[Any, ...]] = {
    "model": (*NO_TEXT, "x" * 513),
    "timeout_s": (*NO_NUMBER, 0, -1, 86_401),
    "fit": (1, "no", [], {}),
    "keep_alive_s": (True, [1.0], {}, -1, "always"),
    "messages": (None, "hi", {}, [], [TURN] * 1025),
    "system": (5, True, {}),
    "tools": (*NO_LIST, [TOOL] * 129),
    "tool_choice": NO_OBJECT,
    "thinking": (*NO_OBJECT, {}, {"type": "between_tools"}, {"type": []}),
    "output_config": NO_OBJECT,
    "output_format": NO_OBJECT,
    "cache_control": NO_OBJECT,
    "context_management": NO_OBJECT,
    "mcp_servers": (*NO_LIST, [{"name": "a"}]),
    "speed": (5, "fast"),
    "user_profile_id": ("a",),
    "chat_template_kwargs": NO_OBJECT,
}
FIELDS: dict[str, tuple[Any, ...]] = CONVERSATION | {
    "max_tokens": (None, *NO_WHOLE, 0, 2**31 + 1),
    "stop_sequences": (5, "a", True, {}, ["a"] * 17),
    "stream": NO_BOOL,
    "metadata": NO_OBJECT,
    "service_tier": (5, "flex"),
    "inference_geo": ("eu",),
    "container": ("c", {}),
    "compaction": ({},),
    "thread": ({},),
    "fallbacks": ([],),
    "diagnostics": ({},),
    "temperature": (*NO_NUMBER, -0.1, 5.1),
    "top_p": (*NO_NUMBER, 0, 1.1),
    "top_k": (*NO_WHOLE, -1),
    "min_p": (*NO_NUMBER, -0.1, 1.1),
    "repeat_penalty": (*NO_NUMBER, 0, 11),
    "presence_penalty": (*NO_NUMBER, -2.1, 2.1),
    "frequency_penalty": (*NO_NUMBER, -2.1, 2.1),
    "logit_bias": NO_OBJECT,
    "ignore_eos": NO_BOOL,
    "seed": (*NO_WHOLE, -2, 2**32 - 1),
    "regex": (*NO_TEXT, "", "x" * 4097),
    "grammar": (*NO_TEXT, "", " ", "x" * 65_537),
    "lark": (*NO_TEXT, "", " ", "x" * 65_537),
    "choice": (5, "a", {}, [], ["a"] * 1025),
    "cache_prompt": NO_BOOL,
    "cache_salt": (*NO_TEXT, "x" * 257),
}

Case = tuple[dict[str, Any], str]


def said(*blocks: Any, role: str = "user") -> dict[str, Any]:
    """Return a body whose second message has these blocks."""
    return {"messages": [TURN, {"role": role, "content": list(blocks)}]}


def wrong_members(block: dict[str, Any], role: str = "user", **members: Any) -> Iterator[Case]:
    """Yield the same block with each of these members wrong, and with an unknown one."""
    where = "messages[1].content[0]"
    for name, value in members.items():
        yield said({**block, name: value}, role=role), f"{where}.{name}"
    yield said({**block, "other": 1}, role=role), f"{where}.other"
    yield said({**block, "cache_control": {"type": "x"}}, role=role), f"{where}.cache_control.type"


INSIDE: list[Case] = [
    *(({"messages": [TURN, wrong]}, "messages[1]") for wrong in (5, "hi", None, [])),
    *(({"messages": [{**TURN, "role": r}]}, "messages[0].role") for r in (5, None, "", "tool")),
    *(({"messages": [{**TURN, "content": c}]}, "messages[0].content") for c in (5, None, {})),
    ({"messages": [{**TURN, "other": 1}]}, "messages[0].other"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": ""}]}, "messages"),
    ({"messages": [{"role": "system", "content": "a"}]}, "messages"),
    (said(CALL, role="assistant"), "messages"),
    *(
        (said(block), "messages[1].content[0]")
        for block in (5, "a", None, {}, {"type": 5}, {"type": []}, {"type": "server_tool_use"})
    ),
    *wrong_members({"type": "text", "text": "a"}, text=5, citations=[{}]),
    *wrong_members({"type": "image", "source": PNG}, source=5),
    (
        said({"type": "image", "source": {"type": "url", "url": "u"}}),
        "messages[1].content[0].source",
    ),
    *(
        (
            said({"type": "image", "source": {**PNG, name: value}}),
            f"messages[1].content[0].source.{name}",
        )
        for name, value in (("media_type", "image/bmp"), ("data", "?"), ("data", ""), ("other", 1))
    ),
    *wrong_members({"type": "document", "source": TEXT}, source=5, title=5, context=5, citations=5),
    *(
        (
            said({"type": "document", "source": source}),
            "messages[1].content[0].source",
        )
        for source in ({**PNG, "media_type": "application/pdf"}, {"type": "url", "url": "u"})
    ),
    (
        said({"type": "document", "source": TEXT, "citations": {"enabled": True}}),
        "messages[1].content[0].citations.enabled",
    ),
    *wrong_members(CALL, "assistant", id="", name="", input="{}", toolset_name="a"),
    (
        said({**CALL, "caller": {"type": "code_execution_20260120"}}, role="assistant"),
        "messages[1].content[0].caller.type",
    ),
    *wrong_members(
        {"type": "thinking", "thinking": "a", "signature": "b"},
        "assistant",
        thinking=5,
        signature=5,
    ),
    *wrong_members({"type": "redacted_thinking", "data": "a"}, "assistant", data=5),
    *wrong_members(RESULT, tool_use_id="", content=5, is_error=1, toolset_name="a"),
    (said(RESULT), "messages[1].content[0].tool_use_id"),
    (said({**RESULT, "content": [{"type": "thinking"}]}), "messages[1].content[0].content[0]"),
    *(
        (said(block, role=role), "messages[1].content[0]")
        for block, role in (
            (CALL, "user"),
            ({"type": "thinking", "thinking": "a", "signature": "b"}, "user"),
            ({"type": "redacted_thinking", "data": "a"}, "user"),
            (RESULT, "assistant"),
            ({"type": "image", "source": PNG}, "assistant"),
            ({"type": "image", "source": PNG}, "system"),
        )
    ),
    ({"system": [{"type": "image", "source": PNG}]}, "system[0].source"),
    ({"system": ["a"]}, "system[0]"),
    ({"tools": [5]}, "tools[0]"),
    ({"tools": [{"type": "web_search_20250305", "name": "f", "max_uses": 1}]}, "tools[0]"),
    ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    *(
        ({"tools": [{**TOOL, name: value}]}, f"tools[0].{name}")
        for name, value in (
            ("name", ""),
            ("description", 5),
            ("input_schema", 5),
            ("strict", 1),
            ("eager_input_streaming", 1),
            ("allowed_callers", []),
            ("defer_loading", True),
            ("input_examples", [{}]),
            ("cache_control", 5),
            ("other", 1),
        )
    ),
    ({"tool_choice": {}}, "tool_choice.type"),
    ({"tool_choice": {"type": "required"}}, "tool_choice.type"),
    ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"tool_choice": {"type": "auto", "name": "f"}}, "tool_choice.name"),
    (
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": 1}},
        "tool_choice.disable_parallel_tool_use",
    ),
    ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "adaptive", "budget_tokens": 9}}, "thinking.budget_tokens"),
    ({"thinking": {"type": "adaptive", "display": "short"}}, "thinking.display"),
    ({"thinking": {"type": "disabled", "display": "omitted"}}, "thinking.display"),
    ({"output_config": {"effort": "none"}}, "output_config.effort"),
    ({"output_config": {"task_budget": {}}}, "output_config.task_budget"),
    ({"output_config": {"format": {"type": "json"}}}, "output_config.format.type"),
    ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ({"output_format": {**FORM, "schema": 5}}, "output_format.schema"),
    ({"cache_control": {"type": "ephemeral", "ttl": "1d"}}, "cache_control.ttl"),
    ({"context_management": {"edits": 5}}, "context_management.edits"),
    (
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
        "context_management.edits[0].type",
    ),
    (
        {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": 1}]}},
        "context_management.edits[0].keep",
    ),
    ({"other": 1}, "other"),
]

OF_MESSAGES_ONLY: list[Case] = [
    ({"metadata": {"user_id": 5}}, "metadata.user_id"),
    ({"stop_sequences": [""]}, "stop_sequences[0]"),
    ({"stop_sequences": ["x" * 257]}, "stop_sequences[0]"),
    ({"logit_bias": {"a": 1}}, "logit_bias.a"),
    ({"output_config": {"format": FORM}, "output_format": FORM}, "output_format"),
]


def cases(fields: dict[str, tuple[Any, ...]]) -> Iterator[Case]:
    for name, values in fields.items():
        for wrong in values:
            yield {name: wrong}, name
    yield from INSIDE
    if fields is FIELDS:
        yield from OF_MESSAGES_ONLY


def test_every_field_is_tried() -> None:
    assert set(MessagesBody.model_fields) == set(FIELDS)
    assert set(CountTokensBody.model_fields) == set(CONVERSATION)


@pytest.mark.parametrize(("path", "fields"), [(MESSAGES, FIELDS), (COUNT, CONVERSATION)])
def test_what_is_wrong_is_refused_by_its_name(path: str, fields: dict[str, Any]) -> None:
    found = asyncio.run(said_of(path, [body for body, _ in cases(fields)]))
    assert [
        (body, said, field)
        for (body, field), said in zip(cases(fields), found, strict=True)
        if said != (400, field)
    ] == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (said({"type": "server_tool_use"}), "must be an object whose type is text or image or"),
        (said({"type": "image", "source": {"type": "url"}}), "nothing is fetched from elsewhere"),
        ({"tools": [{"type": "bash_20250124"}]}, "only tools of your own are served"),
        (said(RESULT), "no tool_use before it has this id"),
        (said(CALL, role="assistant"), "must go on with a tool_result"),
        ({"container": "c"}, "no code is run"),
    ],
    ids=str,
)
def test_what_is_refused_says_why(body: dict[str, Any], words: str) -> None:
    assert words in post(FakeService(), MESSAGES, **body).json()["error"]["message"]


def test_the_length_must_be_said() -> None:
    app = make_app(FakeService())
    response = ask(app, "POST", MESSAGES, json={"messages": [TURN]})
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "max_tokens: must be given"
