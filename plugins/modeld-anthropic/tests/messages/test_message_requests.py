# SPDX-License-Identifier: GPL-3.0-only
"""What a message's body becomes for the service."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from anthropic_calls import MESSAGES, REQUEST_ID, TURN, post
from modeld_anthropic.messages.body import MessagesBody

from modeld.messages import (
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
TOOL = {"name": "f", "input_schema": SCHEMA}
PNG = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(b"png").decode()}
CACHED = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
CALL = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
MADE = ToolCall(id="c1", name="f", arguments='{"a":1}')
USER = Message(role="user", content="hi")
ON = {"type": "adaptive"}


def request(**body: Any) -> GenerateRequest:
    service = FakeService()
    response = post(service, MESSAGES, **body)
    assert response.status_code == 200, response.text
    (only,) = service.requests
    return only


def chat(*messages: Any, **body: Any) -> tuple[Message, ...]:
    return request(messages=messages, **body).messages or ()


def said(role: str, *blocks: Any) -> dict[str, Any]:
    return {"role": role, "content": list(blocks)}


def text(words: str, **members: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **members}


def test_the_least_body_says_nothing_else() -> None:
    assert request() == GenerateRequest(
        messages=(USER,),
        max_tokens=9,
        reasoning=Reasoning(enabled=False),
        request_id=REQUEST_ID,
    )


def test_null_is_the_same_as_left_out() -> None:
    nulls = dict.fromkeys(set(MessagesBody.model_fields) - {"messages", "max_tokens"})
    assert request(**nulls) == request()


def test_plain_fields_are_passed_on() -> None:
    made = request(
        model="x",
        temperature=0,
        top_p=0.5,
        top_k=3,
        stop_sequences=["a", "b"],
        seed=3,
        cache_prompt=False,
        cache_salt="s",
        timeout_s=5,
        keep_alive_s=6,
        chat_template_kwargs={"a": 1},
    )
    assert (made.model, made.stop, made.timeout_s) == ("x", ("a", "b"), 5)
    assert made.keep_alive_s == 6
    assert (made.cache_prompt, made.cache_salt, made.template_kwargs) == (False, "s", {"a": 1})
    assert made.sampling == Sampling(temperature=0, top_p=0.5, top_k=3, seed=3)


def test_what_has_no_effect_has_none() -> None:
    assert (
        request(
            metadata={"user_id": "me"},
            service_tier="standard_only",
            speed="standard",
            mcp_servers=[],
            context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            **CACHED,
        )
        == request()
    )


def test_what_backends_declare_is_a_field_too() -> None:
    assert request(mirostat=2).sampling.own == {"mirostat": 2}


def test_the_system_comes_first_as_one_text_or_several() -> None:
    assert chat(TURN, system="be brief") == (Message(role="system", content="be brief"), USER)
    blocks = [text("a", **CACHED), text("", citations=[]), text("b", citations=None)]
    several = (TextPart(text="a"), TextPart(text="b"))
    assert chat(TURN, system=blocks)[0] == Message(role="system", content=several)
    assert chat(TURN, system=[text("a")])[0] == Message(role="system", content="a")
    assert chat(TURN, system="") == chat(TURN, system=[]) == (USER,)


def test_what_a_client_says_to_the_api_is_not_for_the_model() -> None:
    billing = text("x-anthropic-billing-header: cc_version=2.1; cch=97bd6;")
    assert chat(TURN, system=[billing, text("a")])[0] == Message(role="system", content="a")
    assert chat(TURN, system=[billing]) == (USER,)


def test_system_messages_at_the_beginning_are_the_system() -> None:
    first = {"role": "system", "content": "b"}
    both = (TextPart(text="a"), TextPart(text="b"))
    assert chat(first, TURN) == (Message(role="system", content="b"), USER)
    assert chat(first, TURN, system="a") == (Message(role="system", content=both), USER)


def test_a_later_system_message_is_a_part_of_the_users_turn() -> None:
    later = {"role": "system", "content": "now in French"}
    reminder = TextPart(text="<system-reminder>\nnow in French\n</system-reminder>")
    together = Message(role="user", content=(TextPart(text="hi"), reminder))
    assert chat(TURN, later) == chat(TURN, said("system", text("now in French"))) == (together,)
    made = request(messages=[TURN, said("assistant", text("Well")), later])
    assert made.continue_last is False
    assert (made.messages or ())[2] == Message(role="user", content=reminder.text)


def test_turns_of_one_speaker_become_one() -> None:
    assert chat(TURN, TURN) == (
        Message(role="user", content=(TextPart(text="hi"), TextPart(text="hi"))),
    )


def test_blocks_are_passed_on_with_their_bytes() -> None:
    document = {
        "type": "document",
        "title": "T",
        "context": "c",
        "source": {"type": "text", "media_type": "text/plain", "data": "d"},
        "citations": {"enabled": False},
    }
    (message,) = chat(said("user", text("what?"), {"type": "image", "source": PNG}, document))
    assert message.content == (
        TextPart(text="what?"),
        ImagePart(data=b"png", media_type="image/png"),
        TextPart(text="T\nc\nd"),
    )


def test_calls_and_their_results_are_passed_on_in_their_order() -> None:
    results = said(
        "user",
        {"type": "tool_result", "tool_use_id": "c1", "content": "5", "is_error": False, **CACHED},
        {"type": "tool_result", "tool_use_id": "c2"},
        text("go on"),
    )
    second = {**CALL, "id": "c2", "caller": {"type": "direct"}, "toolset_name": None}
    assert chat(TURN, said("assistant", text("well"), CALL, second), results) == (
        USER,
        Message(
            role="assistant",
            content="well",
            tool_calls=(MADE, ToolCall(id="c2", name="f", arguments='{"a":1}')),
        ),
        Message(role="tool", name="f", tool_call_id="c1", content="5"),
        Message(role="tool", name="f", tool_call_id="c2"),
        Message(role="user", content="go on"),
    )


def test_a_result_may_have_blocks_and_be_an_error() -> None:
    blocks = [text("no such file"), {"type": "image", "source": PNG}]
    result = {"type": "tool_result", "tool_use_id": "c1", "content": blocks, "is_error": True}
    assert chat(TURN, said("assistant", CALL), said("user", result))[2] == Message(
        role="tool",
        name="f",
        tool_call_id="c1",
        content=(
            TextPart(text="The tool has failed:"),
            TextPart(text="no such file"),
            ImagePart(data=b"png", media_type="image/png"),
        ),
    )


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "of-another-server"}


def test_former_thinking_is_a_part_of_it_where_the_model_may_think() -> None:
    redacted = {"type": "redacted_thinking", "data": "x"}
    turns = (TURN, said("assistant", THOUGHT, redacted, text("yes")), TURN)
    assert chat(*turns, thinking=ON)[1] == Message(role="assistant", content="yes", reasoning="hm")
    assert chat(*turns)[1] == Message(role="assistant", content="yes")


def test_thinking_that_was_not_shown_comes_back_in_its_signature() -> None:
    def comes_back(signature: str) -> str:
        block = {"type": "thinking", "thinking": "", "signature": signature}
        return chat(TURN, said("assistant", block, text("yes")), TURN, thinking=ON)[1].reasoning

    assert comes_back("modeld:" + base64.b64encode("hé".encode()).decode()) == "hé"
    assert [comes_back(each) for each in ("", "modeld", "modeld:?", "modeld:/w==", "x")] == [""] * 5


def test_the_last_message_of_the_model_is_gone_on_with() -> None:
    made = request(messages=[TURN, {"role": "assistant", "content": "Well,"}])
    assert made.continue_last is True
    assert made.messages == (USER, Message(role="assistant", content="Well,"))


def test_an_empty_last_message_of_the_model_says_nothing() -> None:
    for content in ("", [], [text("")]):
        made = request(messages=[TURN, {"role": "assistant", "content": content}])
        assert made == request()


@pytest.mark.parametrize(
    ("choice", "passed_on"),
    [
        ({"type": "auto"}, ToolChoice()),
        ({"type": "none"}, ToolChoice(mode="none")),
        ({"type": "any"}, ToolChoice(mode="required")),
        ({"type": "tool", "name": "f"}, ToolChoice(mode="required", names=("f",))),
    ],
    ids=str,
)
def test_tools_are_passed_on_with_the_choice_among_them(
    choice: dict[str, str], passed_on: ToolChoice
) -> None:
    strict = {
        "type": "custom",
        "name": "g",
        "description": "d",
        "input_schema": {"type": "object"},
        "strict": True,
        "eager_input_streaming": True,
        "allowed_callers": ["direct"],
        "defer_loading": False,
        "input_examples": [],
        **CACHED,
    }
    made = request(tools=[TOOL, strict], tool_choice=choice)
    assert made.tools == (
        Tool(name="f", parameters=SCHEMA),
        Tool(name="g", description="d", parameters={"type": "object"}, strict=True),
    )
    assert (made.tool_choice, made.parallel_tool_calls) == (passed_on, True)
    one = request(tools=[TOOL, strict], tool_choice={**choice, "disable_parallel_tool_use": True})
    assert one.parallel_tool_calls is False


def test_that_no_tool_of_none_is_called_says_nothing() -> None:
    assert request(tool_choice={"type": "none"}, tools=[]) == request()


@pytest.mark.parametrize(
    ("body", "reasoning"),
    [
        ({}, Reasoning(enabled=False)),
        ({"thinking": {"type": "disabled"}}, Reasoning(enabled=False)),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 5}},
            Reasoning(enabled=True, budget_tokens=5),
        ),
        ({"thinking": ON}, Reasoning()),
        ({"thinking": ON, "output_config": {"effort": "low"}}, Reasoning(effort="low")),
        ({"output_config": {"effort": "max"}}, Reasoning(effort="max")),
        ({"output_config": {"effort": "high"}}, Reasoning(enabled=False)),
        ({"thinking": ON, "output_config": {"effort": "high"}}, Reasoning()),
        ({"output_config": {"effort": None}}, Reasoning(enabled=False)),
    ],
    ids=str,
)
def test_how_much_a_model_thinks_is_passed_on(body: dict[str, Any], reasoning: Reasoning) -> None:
    assert request(**body).reasoning == reasoning


def test_the_form_of_a_response_is_passed_on() -> None:
    form = {"type": "json_schema", "schema": SCHEMA}
    assert request(output_config={"format": form}).json_schema == SCHEMA
    assert request(output_format=form).json_schema == SCHEMA


def test_other_constraints_are_passed_on() -> None:
    assert request(regex="a+").regex == "a+"
    assert request(grammar='root ::= "a"').grammar == 'root ::= "a"'
    assert request(lark='start: "a"').lark == 'start: "a"'
    assert request(choice=["a", "b"]).choice == ("a", "b")
