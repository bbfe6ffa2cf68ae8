# SPDX-License-Identifier: GPL-3.0-only
"""What a chat's body becomes for the service."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from openai_calls import CHAT, REQUEST_ID, TURN, post

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
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
PNG = base64.b64encode(b"png").decode()


def requests(**body: Any) -> list[GenerateRequest]:
    service = FakeService()
    response = post(service, CHAT, **body)
    assert response.status_code == 200, response.text
    return service.requests


def request(**body: Any) -> GenerateRequest:
    (only,) = requests(**body)
    return only


def test_the_least_body_says_nothing_else():
    assert request() == GenerateRequest(
        messages=(Message(role="user", content="hi"),), request_id=REQUEST_ID
    )


def test_null_is_the_same_as_left_out():
    from modeld_openai.chat.body import ChatCompletionBody

    nulls = dict.fromkeys(set(ChatCompletionBody.model_fields) - {"messages"})
    assert request(**nulls) == request()


def test_plain_fields_are_passed_on():
    made = request(
        model="x",
        max_tokens=7,
        temperature=0,
        top_p=0.5,
        presence_penalty=1,
        frequency_penalty=-1,
        logit_bias={"5": -100},
        stop="end",
        seed=3,
        cache_prompt=False,
        cache_salt="s",
        timeout_s=5,
        keep_alive_s="forever",
        user="me",
        metadata={"a": "b"},
        store=False,
        service_tier="auto",
        parallel_tool_calls=False,
    )
    assert (made.model, made.max_tokens, made.stop, made.timeout_s) == ("x", 7, ("end",), 5)
    assert made.keep_alive_s == "forever"
    assert (made.cache_prompt, made.cache_salt, made.parallel_tool_calls) == (False, "s", False)
    assert made.sampling == Sampling(
        temperature=0,
        top_p=0.5,
        presence_penalty=1,
        frequency_penalty=-1,
        logit_bias=((5, -100.0),),
        seed=3,
    )


def test_the_newer_name_of_a_limit_counts():
    assert request(max_completion_tokens=9).max_tokens == 9
    assert request(max_completion_tokens=9, max_tokens=9).max_tokens == 9


def test_what_backends_declare_is_a_field_too():
    assert request(mirostat=2).sampling.own == {"mirostat": 2}


def test_a_chat_of_all_roles_is_passed_on():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    made = request(
        messages=[
            {"role": "developer", "content": "be brief"},
            {"role": "system", "content": [{"type": "text", "text": "x"}], "name": "sys"},
            TURN,
            {
                "role": "assistant",
                "content": None,
                "refusal": None,
                "audio": None,
                "function_call": None,
                "annotations": [],
                "reasoning_content": "hm",
                "tool_calls": [call],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "5"},
        ]
    )
    assert made.messages == (
        Message(role="system", content="be brief"),
        Message(role="system", content="x", name="sys"),
        Message(role="user", content="hi"),
        Message(
            role="assistant",
            reasoning="hm",
            tool_calls=(ToolCall(id="c1", name="f", arguments='{"a":1}'),),
        ),
        Message(role="tool", content="5", tool_call_id="c1"),
    )


def test_what_clients_add_to_a_message_that_they_have_read_changes_nothing():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    read = {**call, "index": 0, "function": {**call["function"], "parsed_arguments": {"a": 1}}}
    plain = {"role": "assistant", "content": '{"b":2}', "tool_calls": [call]}
    added = {**plain, "tool_calls": [read], "parsed": {"b": 2}}
    assert request(messages=[TURN, added]) == request(messages=[TURN, plain])


@pytest.mark.parametrize(
    "names", [("reasoning",), ("reasoning_content",), ("reasoning", "reasoning_content")]
)
def test_what_the_model_thought_has_two_names(names):
    turn = {"role": "assistant", "content": "a", **dict.fromkeys(names, "hm")}
    (message,) = request(messages=[turn]).messages or ()
    assert message == Message(role="assistant", content="a", reasoning="hm")


def test_parts_are_passed_on_with_their_bytes():
    parts = [
        {"type": "text", "text": "what?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": f"data:;base64,{PNG}", "detail": "auto"}},
        {"type": "input_audio", "input_audio": {"data": PNG, "format": "mp3"}},
    ]
    (message,) = request(messages=[{"role": "user", "content": parts}]).messages or ()
    assert message.content == (
        TextPart(text="what?"),
        ImagePart(data=b"png", media_type="image/png"),
        ImagePart(data=b"png"),
        AudioPart(data=b"png", media_type="audio/mpeg"),
    )


@pytest.mark.parametrize(
    ("choice", "passed_on"),
    [
        ("auto", ToolChoice()),
        ("none", ToolChoice(mode="none")),
        ("required", ToolChoice(mode="required")),
        (
            {"type": "function", "function": {"name": "f"}},
            ToolChoice(mode="required", names=("f",)),
        ),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
            ToolChoice(mode="auto", names=("f",)),
        ),
    ],
    ids=str,
)
def test_tools_are_passed_on_with_the_choice_among_them(choice, passed_on):
    strict = {"type": "function", "function": {"name": "g", "description": "d", "strict": True}}
    made = request(tools=[TOOL, strict], tool_choice=choice)
    assert made.tools == (
        Tool(name="f", parameters=SCHEMA),
        Tool(name="g", description="d", strict=True),
    )
    assert made.tool_choice == passed_on


def test_one_function_by_its_name_is_called_once_unless_several_calls_are_asked_for():
    named = {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}}
    assert not request(**named).parallel_tool_calls
    assert request(**named, parallel_tool_calls=True).parallel_tool_calls
    assert request(tools=[TOOL], tool_choice="required").parallel_tool_calls


def test_that_no_tool_of_none_is_called_says_nothing():
    assert request(tool_choice="none", tools=[]) == request()


@pytest.mark.parametrize(
    ("form", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "json_schema", "json_schema": {"name": "a"}}, {"type": "object"}),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, "strict": True}},
            SCHEMA,
        ),
    ],
    ids=str,
)
def test_the_form_of_a_response_becomes_a_schema(form, schema):
    assert request(response_format=form).json_schema == schema


def test_other_constraints_are_passed_on():
    assert request(regex="a+").regex == "a+"
    assert request(grammar='root ::= "a"').grammar == 'root ::= "a"'
    assert request(lark='start: "a"').lark == 'start: "a"'
    assert request(choice=["a", "b"]).choice == ("a", "b")


def test_how_much_a_model_thinks_is_passed_on():
    assert request(reasoning_effort="none").reasoning == Reasoning(enabled=False)
    assert request(reasoning_effort="low").reasoning == Reasoning(enabled=True, effort="low")
    assert request(reasoning_budget_tokens=5).reasoning == Reasoning(budget_tokens=5)
    assert request(chat_template_kwargs={"a": 1}).template_kwargs == {"a": 1}


def test_the_last_message_can_be_gone_on_with():
    messages = [TURN, {"role": "assistant", "content": "Well"}]
    made = request(messages=messages, continue_final_message=True, add_generation_prompt=False)
    assert made.continue_last is True
    assert request(add_generation_prompt=True) == request(continue_final_message=False)


def test_probabilities_are_asked_for_in_two_fields():
    assert request(logprobs=True).logprobs == 0
    assert request(logprobs=True, top_logprobs=4).logprobs == 4
    assert request(logprobs=False).logprobs is None


def test_each_choice_is_a_request_with_a_seed_of_its_own():
    assert requests(n=3) == [request()] * 3
    assert [each.sampling.seed for each in requests(n=3, seed=5)] == [5, 6, 7]
    last = 2**32 - 2
    assert [each.sampling.seed for each in requests(n=2, seed=last)] == [last, 0]
    assert [each.sampling.seed for each in requests(n=2, seed=-1)] == [None, None]
