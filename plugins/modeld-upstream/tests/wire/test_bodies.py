# SPDX-License-Identifier: GPL-3.0-only
"""Every member of a request reaches a server of each kind, or is refused by name."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from modeld_upstream.kinds import KINDS, Kind
from modeld_upstream.wire.bodies import generation
from msgspec.structs import replace

from modeld import GenerateRequest, Message, Sampling
from modeld.capabilities import Capability
from modeld.errors import InvalidRequestError, ModeldError, NotSupportedError
from modeld.messages import (
    AudioPart,
    ImagePart,
    Reasoning,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)

CHAT = GenerateRequest(messages=(Message(role="user", content="Hi"),))
PROMPT = GenerateRequest(prompt="Hi", max_tokens=8)
TOOL = Tool(name="look", description="looks", parameters={"type": "object"}, strict=True)


def body(request: GenerateRequest, kind: str = "generic") -> dict[str, Any]:
    return generation(request, KINDS[kind], "m")[1]  # type: ignore[index]


def refused(request: GenerateRequest, kind: str = "generic") -> str | None:
    with pytest.raises(ModeldError) as caught:
        body(request, kind)
    return caught.value.field


def test_chats_and_prompts_have_addresses_of_their_own() -> None:
    assert generation(CHAT, KINDS["generic"], "m")[0] == "/chat/completions"
    assert generation(PROMPT, KINDS["generic"], "m")[0] == "/completions"


def test_a_plain_chat_has_nothing_but_its_messages() -> None:
    assert body(CHAT) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_limits_and_stops_and_seeds_are_passed_on() -> None:
    sampling = Sampling(
        temperature=0.5, top_p=0.9, presence_penalty=1, frequency_penalty=-1, seed=7,
        logit_bias=((5, 1.5), (6, None)),
    )  # fmt: skip
    sent = body(replace(CHAT, max_tokens=9, stop=("\n",), sampling=sampling))
    assert sent["max_tokens"] == 9
    assert sent["stop"] == ("\n",)
    assert (sent["temperature"], sent["top_p"], sent["seed"]) == (0.5, 0.9, 7)
    assert (sent["presence_penalty"], sent["frequency_penalty"]) == (1, -1)
    assert sent["logit_bias"] == {"5": 1.5, "6": -100.0}


def test_what_servers_call_otherwise_is_called_so() -> None:
    sampling = Sampling(repeat_penalty=1.1, top_k=5, min_p=0.1, ignore_eos=True)
    request = replace(CHAT, sampling=sampling)
    assert body(request, "vllm")["repetition_penalty"] == 1.1
    assert body(request, "llama-server")["repeat_penalty"] == 1.1
    assert body(replace(CHAT, max_tokens=3), "openai")["max_completion_tokens"] == 3
    banned = replace(CHAT, sampling=Sampling(logit_bias=((6, None),)))
    assert body(banned, "llama-server")["logit_bias"] == {"6": False}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_each_kind_has_a_field_for_each_constraint_that_it_declares(kind: Kind) -> None:
    declared = {each.value for each in kind.capabilities} & {
        Capability.JSON_SCHEMA, Capability.GRAMMAR, Capability.REGEX, Capability.LARK,
        Capability.CHOICE,
    }  # fmt: skip
    assert declared == set(kind.constraints)
    assert (Capability.CONTINUE_LAST in kind.capabilities) is bool(kind.continues)


def test_schemas_are_response_formats() -> None:
    any_object = replace(CHAT, json_schema={"type": "object"})
    assert body(any_object)["response_format"] == {"type": "json_object"}
    schema = {"type": "integer"}
    form = body(replace(CHAT, json_schema=schema))["response_format"]
    assert form["json_schema"]["schema"] == schema
    assert form["json_schema"]["strict"] is True
    assert refused(replace(PROMPT, json_schema=schema)) == "json_schema"
    assert body(replace(PROMPT, json_schema=schema), "llama-server")["json_schema"] == schema


def test_other_constraints_have_the_words_of_each_kind() -> None:
    regex = replace(CHAT, regex="a+")
    assert body(regex, "vllm")["structured_outputs"] == {"regex": "a+"}
    assert body(regex, "sglang")["regex"] == "a+"
    grammar = replace(CHAT, grammar='root ::= "a"')
    assert body(grammar, "llama-server")["grammar"] == 'root ::= "a"'
    assert body(grammar, "sglang")["ebnf"] == 'root ::= "a"'
    assert body(replace(CHAT, choice=("a", "b")), "modeld")["choice"] == ("a", "b")


def test_a_prompt_without_a_limit_has_none_or_is_refused() -> None:
    request = GenerateRequest(prompt="Hi")
    assert body(request, "llama-server")["max_tokens"] == -1
    assert body(request, "vllm")["max_tokens"] is None
    assert refused(request) == "max_tokens"
    assert body(GenerateRequest(prompt_tokens=(1, 2), max_tokens=1))["prompt"] == (1, 2)


def test_probabilities_are_asked_for_in_both_forms() -> None:
    chat = body(replace(CHAT, logprobs=3))
    assert (chat["logprobs"], chat["top_logprobs"]) == (True, 3)
    assert body(replace(PROMPT, logprobs=0))["logprobs"] == 1


def test_tools_and_which_of_them_may_be_called_are_passed_on() -> None:
    request = replace(CHAT, tools=(TOOL,), parallel_tool_calls=False)
    sent = body(request)
    assert sent["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "look",
                "description": "looks",
                "parameters": {"type": "object"},
                "strict": True,
            },
        }
    ]
    assert sent["parallel_tool_calls"] is False
    one = replace(request, tool_choice=ToolChoice(mode="required", names=("look",)))
    assert body(one)["tool_choice"] == {"type": "function", "function": {"name": "look"}}
    some = replace(request, tool_choice=ToolChoice(names=("look", "see")))
    assert refused(some) == "tool_choice"
    assert body(some, "openai")["tool_choice"]["allowed_tools"]["mode"] == "auto"
    none = replace(request, tool_choice=ToolChoice(mode="none"))
    assert body(none)["tool_choice"] == "none"


def test_turns_keep_their_parts_their_reasoning_and_their_calls() -> None:
    turns = (
        Message(role="user", name="Ann", content=(
            TextPart(text="see"),
            ImagePart(data=b"\x89PNG", media_type="image/png"),
            AudioPart(data=b"RIFF", media_type=""),
        )),
        Message(role="assistant", reasoning="hm", tool_calls=(
            ToolCall(id="c1", name="look", arguments='{"a":1}'),
        )),
        Message(role="tool", content="seen", tool_call_id="c1", name="look"),
    )  # fmt: skip
    user, assistant, tool = body(replace(CHAT, messages=turns))["messages"]
    text, image, audio = user["content"]
    assert (user["name"], text) == ("Ann", {"type": "text", "text": "see"})
    encoded = base64.b64encode(b"\x89PNG").decode()
    assert image["image_url"]["url"] == f"data:image/png;base64,{encoded}"
    assert audio["input_audio"]["format"] == "wav"
    assert (assistant["content"], assistant["reasoning_content"]) == (None, "hm")
    assert assistant["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"a":1}'}
    assert tool == {"role": "tool", "content": "seen", "tool_call_id": "c1"}


@pytest.mark.parametrize(
    ("kind", "wanted", "sent"),
    [
        ("generic", Reasoning(enabled=False), {"reasoning_effort": "none"}),
        ("generic", Reasoning(enabled=True), {"reasoning_effort": "medium"}),
        ("openai", Reasoning(effort="high"), {"reasoning_effort": "high"}),
        (
            "vllm",
            Reasoning(enabled=False),
            {"chat_template_kwargs": {"a": 1, "enable_thinking": False}},
        ),
        (
            "llama-server",
            Reasoning(enabled=True),
            {"chat_template_kwargs": {"a": 1, "enable_thinking": True}},
        ),
        ("llama-server", Reasoning(budget_tokens=5), {"thinking_budget_tokens": 5}),
        ("modeld", Reasoning(budget_tokens=5), {"reasoning_budget_tokens": 5}),
    ],
)
def test_how_much_a_model_thinks_is_said_in_the_words_of_each_kind(
    kind: str, wanted: Reasoning, sent: dict[str, Any]
) -> None:
    assert (
        sent.items()
        <= body(replace(CHAT, reasoning=wanted, template_kwargs={"a": 1}), kind).items()
    )


def test_a_budget_for_reasoning_is_refused_where_there_is_none() -> None:
    request = replace(CHAT, reasoning=Reasoning(budget_tokens=5))
    assert {refused(request, kind) for kind in ("generic", "vllm")} == {"reasoning"}


def test_caches_are_kept_apart_or_the_request_is_refused() -> None:
    salted, uncached = replace(CHAT, cache_salt="ann"), replace(CHAT, cache_prompt=False)
    assert body(salted, "vllm")["cache_salt"] == "ann"
    assert body(uncached, "llama-server")["cache_prompt"] is False
    assert refused(salted) == "cache_salt"
    assert refused(uncached, "vllm") == "cache_prompt"


def test_a_salt_of_modelds_own_is_refused_in_words_for_the_operator() -> None:
    with pytest.raises(NotSupportedError, match="where cache_per_key adds it"):
        body(replace(CHAT, cache_salt="ann"), "generic")


def test_going_on_with_the_last_message_has_the_fields_of_each_kind() -> None:
    request = replace(CHAT, continue_last=True)
    assert body(request, "vllm")["add_generation_prompt"] is False
    assert body(request, "sglang")["continue_final_message"] is True


def test_a_refusal_names_the_field_first() -> None:
    with pytest.raises(InvalidRequestError, match=r"^max_tokens: "):
        body(GenerateRequest(prompt="Hi"))
