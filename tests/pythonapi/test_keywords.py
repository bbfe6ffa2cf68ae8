# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from typing import Annotated, Any, get_type_hints

import msgspec
import pytest

from modeld import BackendSampling, Message, Sampling
from modeld.errors import InvalidRequestError, PromptRequiredError
from modeld.messages import ImagePart, Reasoning, TextPart, Tool, ToolCall, ToolChoice
from modeld.pythonapi import options
from modeld.pythonapi.keywords import Keywords, unary
from modeld.requests import (
    ApplyTemplateRequest,
    EmbedRequest,
    GenerateRequest,
    TokenizeRequest,
    UnaryRequest,
)
from modeld.sampling import COMMON, parameters_of


class Own(BackendSampling, frozen=True, kw_only=True):
    """What a backend knows beyond what all do."""

    warmth: Annotated[float | None, msgspec.Meta(description="how warm it is")] = None


CHAT = [{"role": "user", "content": "hi"}]
KEYWORDS = Keywords()


def chat(messages: Any = CHAT, **given: Any) -> GenerateRequest:
    return KEYWORDS.chat("m", messages, given)


def refusal(messages: Any = CHAT, **given: Any) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as refused:
        chat(messages, **given)
    return refused.value


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_token": 3}, "max_token: unknown keyword; did you mean 'max_tokens'?"),
        ({"temprature": 0}, "temprature: unknown keyword; did you mean 'temperature'?"),
        ({"zzz": 0}, "zzz: unknown keyword"),
        ({"stream": True}, "stream: unknown keyword; stream_chat and stream_generate yield"),
        ({"prompt": "x"}, "prompt: unknown keyword"),
        ({"max_tokens": 0}, "max_tokens: expected int >= 1"),
        ({"max_tokens": "9"}, "max_tokens: expected int | null, got str"),
        ({"temperature": 9}, "temperature: expected float <= 5"),
        ({"tool_choice": "often"}, "tool_choice.mode: invalid enum value 'often'"),
        ({"tool_choice": "required"}, "tool_choice: needs tools"),
        ({"logit_bias": {"x": 1}}, "logit_bias[0][0]: expected int, got str"),
        ({"regex": "a", "choice": ["a"]}, "regex: cannot be given together with choice"),
        ({"sampling": Sampling(), "top_k": 1}, "top_k: set it in sampling, which is given too"),
        ({"sampling": {"top_k": 1}}, "sampling: expected a Sampling, got a dict"),
        ({"tools": [{"name": "f", "parameter": {}}]}, "tools[0].parameter: unknown field"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(given: dict[str, Any], message: str) -> None:
    error = refusal(**given)
    assert error.message.startswith(message), error.message
    assert error.field is not None
    assert message.startswith(error.field)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ("hi", "messages: expected array | null, got str"),
        ([{"role": "user"}], "messages[0].content: must be given"),
        ([{"role": "user", "contents": "x", "content": ""}], "messages[0].contents: unknown field"),
        ([{"content": "x"}], "messages[0]: object missing required field role"),
        (["x"], "messages[0]: expected object, got str"),
        ([*CHAT, {"role": "user", "content": [{"type": "image_url"}]}], "messages[1].content[0]"),
    ],
)
def test_a_chat_that_is_wrong_is_refused_where_it_is(messages: Any, message: str) -> None:
    assert refusal(messages).message.startswith(message), refusal(messages).message


def test_no_prompt_is_none() -> None:
    with pytest.raises(PromptRequiredError):
        chat([])
    with pytest.raises(PromptRequiredError):
        KEYWORDS.prompt("m", "", {})


def test_dictionaries_and_values_are_the_same() -> None:
    call = {"id": "1", "name": "f", "arguments": "{}"}
    plain = chat(
        [
            {"role": "system", "content": "be kind", "name": None},
            {"role": "user", "content": [{"type": "image", "data": b"i", "media_type": None}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            Message(role="tool", content="1", tool_call_id="1"),
        ],
        tools=[{"name": "f", "description": None, "parameters": {"type": "object"}}],
        tool_choice={"mode": "required", "names": None},
        reasoning={"effort": "low", "enabled": None},
    )
    values = chat(
        (
            Message(role="system", content="be kind"),
            Message(role="user", content=(ImagePart(data=b"i"),)),
            Message(role="assistant", tool_calls=(ToolCall(id="1", name="f", arguments="{}"),)),
            Message(role="tool", content="1", tool_call_id="1"),
        ),
        tools=(Tool(name="f", parameters={"type": "object"}),),
        tool_choice=ToolChoice(mode="required"),
        reasoning=Reasoning(effort="low"),
        request_id=plain.request_id,
    )
    assert plain == values


def test_short_forms_are_those_of_the_wire() -> None:
    request = chat(
        [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        stop="x",
        tools=[Tool(name="f")],
        tool_choice="none",
        reasoning=False,
        logit_bias={"5": False, 6: -1},
        seed=-1,
        grammar=None,
        temperature=None,
    )
    assert request.messages == (Message(role="user", content=(TextPart(text="hi"),)),)
    assert request.stop == ("x",)
    assert request.tool_choice == ToolChoice(mode="none")
    assert request.reasoning == Reasoning(enabled=False)
    assert request.sampling == Sampling(logit_bias=((5, None), (6, -1)))


def test_how_tokens_are_chosen_is_said_by_keyword_or_as_one_value() -> None:
    assert chat(temperature=0, logit_bias=[(5, None)]).sampling == Sampling(
        temperature=0, logit_bias=((5, None),)
    )
    assert chat(sampling=Sampling(top_k=3)).sampling == Sampling(top_k=3)


def test_a_backends_own_parameters_are_keywords_too() -> None:
    keywords = Keywords(parameters_of(Own, "mine"))
    request = keywords.prompt("m", "x", {"warmth": 0.5, "top_k": 2})
    assert request.sampling == Sampling(top_k=2, own={"warmth": 0.5})
    with pytest.raises(InvalidRequestError, match="did you mean 'warmth'"):
        keywords.prompt("m", "x", {"warmt": 0.5})


def test_unary_requests_refuse_what_they_do_not_have() -> None:
    assert unary(EmbedRequest, {"normalize": None}, model="m", inputs=("x",)).normalize is True
    with pytest.raises(InvalidRequestError, match="did you mean 'normalize'"):
        unary(EmbedRequest, {"normalise": True}, model="m", inputs=("x",))
    with pytest.raises(InvalidRequestError, match=r"^inputs\[0\]: "):
        unary(EmbedRequest, {}, model="m", inputs=("",))
    with pytest.raises(InvalidRequestError, match="max_tokens: unknown keyword"):
        unary(TokenizeRequest, {"max_tokens": 3}, model="m", text="x")


def names(options_type: type) -> set[str]:
    return set(get_type_hints(options_type))


def test_the_keywords_that_type_checkers_know_are_those_of_the_tables() -> None:
    subjects = {"model", "prompt", "prompt_tokens", "messages", "suffix"}
    sampling = {row.name for row in COMMON}
    assert names(options.ChatOptions) == {*GenerateRequest.__struct_fields__} - subjects | sampling
    assert names(options.SamplingOptions) == sampling | {"sampling"}
    assert names(options.RequestOptions) == {*UnaryRequest.__struct_fields__} - subjects
    template = {*ApplyTemplateRequest.__struct_fields__} - subjects
    assert names(options.TemplateOptions) == template
    assert names(options.GenerateOptions) == names(options.TextOptions) | {"suffix"}
    assert names(options.TextOptions) == names(options.ChatOptions) - {
        *(template - names(options.RequestOptions)),
        *("tool_choice", "parallel_tool_calls"),
    }
    assert names(options.EmbedOptions) == {*EmbedRequest.__struct_fields__} - {"model", "inputs"}
    tokenize = {*TokenizeRequest.__struct_fields__} - {"model", "text"}
    assert names(options.TokenizeOptions) == tokenize
