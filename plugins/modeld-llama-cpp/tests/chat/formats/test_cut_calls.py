# SPDX-License-Identifier: GPL-3.0-only
"""A call that is cut off is a call with what has come of its arguments, and no text."""

from __future__ import annotations

import itertools

import pytest
from outputs import OUTPUTS, Output
from taking_apart import FAMILIES, PYTHON, TOOLS, WEATHER, Apart, put_together

from modeld.messages import Tool


def cut_off(
    family: str,
    text: str,
    tools: tuple[Tool, ...] = TOOLS,
    prompt_end: str = "",
    *,
    must_call: bool = False,
) -> Apart:
    parser = FAMILIES[family].parser(tools=tools, prompt_end=prompt_end, must_call=must_call)
    deltas = [*itertools.chain(*map(parser.feed, text)), *parser.finish(cut=True)]
    found = put_together(deltas)
    assert parser.tool_calls == len(found.calls)
    return found


def is_clear(output: Output) -> bool:
    """Return whether a cut text is never another call, as one of code and one with marks in it."""
    return "<|python_tag|>" not in output.text and "[oops" not in output.text


FORCED = [each for each in OUTPUTS if each.calls and not each.said and is_clear(each)]


@pytest.mark.parametrize("output", FORCED, ids=lambda each: f"{each.family}: {each.text[:40]!a}")
def test_a_forced_call_has_the_beginning_of_its_arguments_wherever_it_is_cut(
    output: Output,
) -> None:
    for end in range(len(output.text)):
        text = output.text[:end]
        found = cut_off(output.family, text, prompt_end=output.prompt_end, must_call=True)
        assert found.said == "", text
        assert len(found.calls) <= len(output.calls), text
        for (name, arguments), (wanted, whole) in zip(found.calls, output.calls, strict=False):
            assert name == wanted, text
            assert whole.startswith(arguments), text


CUT = [
    ("hermes", '<tool_call>\n{"name": "get_weather"', ""),
    ("hermes", '<tool_call>{"name": "get_weather", "arguments": {"city": "Be', '{"city": "Be'),
    ("hermes", '<tool_call>{"name": "get_weather", "arguments": {"ci', '{"ci'),
    ("hermes", '<tool_call>{"arguments": {"city": "B"}, "name": "get_weather"', '{"city": "B"}'),
    ("hermes", '<tool_call>{"name": "get_weather", "arguments": "{}"', "{}"),
    ("hermes", '<tool_call>{"name": "get_weather", "arguments": {"city": "B"}', '{"city": "B"}'),
    ("hermes", '<tool_call>{"name": "get_weather", "arguments": {"city": "a\\', '{"city": "a\\'),
    ("llama3", '{"name": "get_weather", "parameters": {"city": "Be', '{"city": "Be'),
    ("llama3", '<|python_tag|>get_weather.call(city="Bern", da', '{"city": "Bern"'),
    ("mistral-named", '[TOOL_CALLS]get_weather[ARGS]{"city": "Be', '{"city": "Be'),
    ("qwen3-coder", "<tool_call>\n<function=get_weather>\n<parameter=city>\nBe", '{"city": "Be'),
    ("glm", "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Be</ar", '{"city": "Be'),
    ("glm", "<tool_call>get_weather\n<arg_key>days</arg_key>\n<arg_value>1", '{"days": 1'),
    ("lfm2", '<|tool_call_start|>[get_weather(city="Bern", days=', '{"city": "Bern"'),
    ("gemma4", '<|tool_call>call:get_weather{city:<|"|>Bern<|"|>,da', '{"city": "Bern"'),
    ("gpt-oss", '<|channel|>commentary to=get_weather<|message|>{"city": "Be', '{"city": "Be'),
]


@pytest.mark.parametrize(("family", "text", "arguments"), CUT)
def test_a_call_that_a_model_was_free_to_make_is_one_too(
    family: str, text: str, arguments: str
) -> None:
    found = cut_off(family, text)
    assert (found.said, found.calls) == ("", [("get_weather", arguments)])


@pytest.mark.parametrize(
    "text", ["<tool_ca", "<tool_call>", '<tool_call>{"na', '<tool_call>{"name": "get_wea']
)
def test_before_its_name_a_forced_call_is_one_of_the_only_tool(text: str) -> None:
    assert cut_off("hermes", text, must_call=True) == Apart()
    only = cut_off("hermes", text, (WEATHER,), must_call=True)
    assert (only.said, only.calls) == ("", [("get_weather", "")])
    assert cut_off("hermes", text).said == text


def test_a_forced_call_that_is_cut_in_its_reasoning_has_not_begun() -> None:
    found = cut_off("hermes", "<think>so", (WEATHER,), must_call=True)
    assert (found.thought, found.said, found.calls) == ("so", "", [])


def test_what_is_cut_between_two_calls_is_no_text_where_calls_are_forced() -> None:
    call = '<tool_call>{"name": "now"}</tool_call>'
    found = cut_off("hermes", f"{call}\n<tool_", must_call=True)
    assert (found.said, found.calls) == ("", [("now", "{}")])


def test_code_is_an_argument_as_far_as_it_has_come() -> None:
    found = cut_off("llama3", "<|python_tag|>print(", (PYTHON,))
    assert found.calls == [("python", '{"code": "print("}')]


def test_a_call_that_was_broken_before_is_not_taken_up_again() -> None:
    text = '<tool_call>{"name": "now", oops}</tool_call><tool_call>{"na'
    assert cut_off("hermes", text).calls == []
