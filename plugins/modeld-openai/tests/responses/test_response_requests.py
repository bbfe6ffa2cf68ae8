# SPDX-License-Identifier: GPL-3.0-only
"""What the body of a response becomes for the service."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from modeld_openai.responses.reading.body import ResponsesBody
from openai_calls import REQUEST_ID, RESPONSES, post

from modeld.messages import (
    AudioPart,
    ImagePart,
    Message,
    Reasoning,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from modeld.requests import GenerateRequest, Sampling
from tests.support.http.fake_service import FakeService

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
TOOL = {"type": "function", "name": "f", "parameters": SCHEMA}
PNG = base64.b64encode(b"png").decode()


def request(**body: Any) -> GenerateRequest:
    service = FakeService()
    response = post(service, RESPONSES, **body)
    assert response.status_code == 200, response.text
    (only,) = service.requests
    return only


def test_a_text_is_a_turn_of_the_user():
    assert request() == GenerateRequest(
        messages=(Message(role="user", content="hi"),), request_id=REQUEST_ID
    )


def test_null_is_the_same_as_left_out():
    assert request(**dict.fromkeys(set(ResponsesBody.model_fields) - {"input"})) == request()


def test_instructions_come_first():
    assert request(instructions="be brief").messages == (
        Message(role="system", content="be brief"),
        Message(role="user", content="hi"),
    )


def test_plain_fields_are_passed_on():
    made = request(
        model="x",
        max_output_tokens=7,
        temperature=0,
        top_p=0.5,
        top_k=3,
        stop="end",
        seed=3,
        cache_salt="s",
        timeout_s=5,
        user="me",
        metadata={"a": "b"},
        store=False,
        truncation="disabled",
        background=False,
        parallel_tool_calls=False,
        chat_template_kwargs={"a": 1},
        mirostat=2,
    )
    assert (made.model, made.max_tokens, made.stop, made.timeout_s) == ("x", 7, ("end",), 5)
    assert (made.cache_salt, made.parallel_tool_calls) == ("s", False)
    assert made.template_kwargs == {"a": 1}
    assert made.sampling == Sampling(temperature=0, top_p=0.5, top_k=3, seed=3, own={"mirostat": 2})


def test_items_are_turns():
    parts = [
        {"type": "input_text", "text": "what?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
        {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
    ]
    made = request(
        input=[
            {"role": "developer", "content": "be brief"},
            {"type": "message", "role": "user", "content": parts},
            {"role": "assistant", "content": [{"type": "output_text", "text": "a cat"}]},
            {"role": "user", "content": [{"type": "input_text", "text": "sure?"}]},
        ]
    )
    assert made.messages == (
        Message(role="system", content="be brief"),
        Message(
            role="user",
            content=(
                TextPart(text="what?"),
                ImagePart(data=b"png", media_type="image/png"),
                AudioPart(data=b"png", media_type="audio/wav"),
            ),
        ),
        Message(role="assistant", content="a cat"),
        Message(role="user", content="sure?"),
    )


def thought(text: str) -> dict[str, Any]:
    return {
        "type": "reasoning",
        "id": "rs",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": text}],
    }


def called(call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"}


def test_what_the_model_thought_said_and_called_is_one_turn():
    made = request(
        input=[
            {"role": "user", "content": "go"},
            thought("h"),
            thought("m"),
            {"role": "assistant", "content": "wait"},
            called("c1"),
            called("c2"),
            {"type": "function_call_output", "call_id": "c1", "output": "5", "name": "f"},
            {
                "type": "function_call_output",
                "call_id": "c2",
                "output": [{"type": "input_text", "text": "6"}],
            },
        ]
    )
    assert made.messages == (
        Message(role="user", content="go"),
        Message(
            role="assistant",
            content="wait",
            reasoning="hm",
            tool_calls=(ToolCall(id="c1", name="f"), ToolCall(id="c2", name="f")),
        ),
        Message(role="tool", content="5", tool_call_id="c1", name="f"),
        Message(role="tool", content="6", tool_call_id="c2"),
    )


def test_a_thought_that_comes_back_without_its_text_says_nothing():
    bare = {"type": "reasoning", "id": "rs", "summary": []}
    made = request(input=[{"role": "user", "content": "go"}, bare, called("c")])
    assert made.messages[1:] == (
        Message(role="assistant", tool_calls=(ToolCall(id="c", name="f"),)),
    )


def test_what_comes_after_a_turn_of_the_model_is_another_one():
    said = {"role": "assistant", "content": "a"}
    made = request(input=[said, said, thought("x"), called("c"), thought("y"), said])
    call = ToolCall(id="c", name="f")
    assert made.messages == (
        Message(role="assistant", content="a"),
        Message(role="assistant", content="a"),
        Message(role="assistant", reasoning="x", tool_calls=(call,)),
        Message(role="assistant", content="a", reasoning="y"),
    )


@pytest.mark.parametrize(
    ("choice", "passed_on"),
    [
        ("auto", ToolChoice()),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        ({"type": "function", "name": "f"}, ToolChoice(mode="required", names=("f",))),
        (
            {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "f"}],
            },
            ToolChoice(mode="auto", names=("f",)),
        ),
    ],
    ids=str,
)
def test_tools_are_passed_on_with_the_choice_among_them(choice, passed_on):
    strict = {"type": "function", "name": "g", "description": "d", "strict": True}
    made = request(tools=[TOOL, strict], tool_choice=choice)
    assert made.tools == (
        Tool(name="f", parameters=SCHEMA),
        Tool(name="g", description="d", strict=True),
    )
    assert made.tool_choice == passed_on
    assert request(tools=[], tool_choice="none") == request()


@pytest.mark.parametrize(
    ("form", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "json_schema", "name": "a", "schema": SCHEMA, "strict": True}, SCHEMA),
    ],
    ids=str,
)
def test_the_form_of_a_text_becomes_a_schema(form, schema):
    assert request(text={"format": form}).json_schema == schema
    assert request(text={}) == request()


def test_how_much_a_model_thinks_is_passed_on():
    assert request(reasoning={"effort": "none"}).reasoning == Reasoning(enabled=False)
    assert request(reasoning={"effort": "max"}).reasoning == Reasoning(enabled=True, effort="max")
    assert request(reasoning={}, reasoning_budget_tokens=5).reasoning == Reasoning(budget_tokens=5)


def test_probabilities_are_asked_for_in_two_fields():
    logprobs = ["message.output_text.logprobs"]
    assert request(include=logprobs).logprobs == 0
    assert request(include=logprobs, top_logprobs=4).logprobs == 4
    assert request(include=[], top_logprobs=0).logprobs is None
