# SPDX-License-Identifier: GPL-3.0-only
"""What models of each family write is taken apart, wherever the pieces of it are cut."""

from __future__ import annotations

import json
import re

import pytest
from modeld_llama_cpp.chat.formats.chat_format import CallDelta, ReasoningDelta, TextDelta
from modeld_llama_cpp.chat.formats.output import long_id, short_id
from outputs import BROKEN, OUTPUTS, Output
from taking_apart import FAMILIES, TOOLS, cuts, put_together, taken_apart


def named(output: Output) -> str:
    return f"{output.family}: {output.text[:40]!a}"


def test_there_is_an_output_of_each_family() -> None:
    assert {output.family for output in OUTPUTS} == set(FAMILIES)


@pytest.mark.parametrize("output", [*OUTPUTS, *BROKEN], ids=named)
def test_an_output_is_taken_apart_wherever_it_is_cut(output: Output) -> None:
    family = FAMILIES[output.family]
    whole = taken_apart(family, [output.text], prompt_end=output.prompt_end)
    assert whole.thought == output.thought
    assert whole.said == output.said
    assert tuple(whole.calls) == output.calls
    for pieces in cuts(output.text):
        found = taken_apart(family, pieces, prompt_end=output.prompt_end)
        assert (found.thought, found.said, found.calls, found.order) == (
            whole.thought,
            whole.said,
            whole.calls,
            whole.order,
        ), pieces


@pytest.mark.parametrize("output", OUTPUTS, ids=named)
def test_arguments_are_objects_and_ids_differ(output: Output) -> None:
    found = taken_apart(FAMILIES[output.family], [output.text], prompt_end=output.prompt_end)
    for _, arguments in found.calls:
        assert isinstance(json.loads(arguments), dict)
    assert len(set(found.ids)) == len(found.calls)


@pytest.mark.parametrize("output", OUTPUTS, ids=named)
def test_without_tools_there_are_no_calls(output: Output) -> None:
    found = taken_apart(
        FAMILIES[output.family], [output.text], tools=(), prompt_end=output.prompt_end
    )
    assert found.calls == []
    assert found.thought == output.thought


def test_arguments_come_as_they_are_written() -> None:
    parser = FAMILIES["hermes"].parser(tools=TOOLS, prompt_end="")
    assert parser.feed('<tool_call>{"name": "python", "arguments": {"code": ') == []
    (begun,) = parser.feed('"a')[:1]
    assert isinstance(begun, CallDelta)
    assert begun.name == "python"
    assert parser.feed("b") == [CallDelta(0, arguments="b")]
    assert parser.feed('c"') == [CallDelta(0, arguments='c"')]


def test_values_between_tags_come_one_by_one() -> None:
    parser = FAMILIES["glm"].parser(tools=TOOLS, prompt_end="")
    parser.feed("<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Bern")
    assert parser.tool_calls == 0
    assert put_together(parser.feed("</arg_value>")).calls == [("get_weather", '{"city": "Bern"')]


def test_what_can_be_no_mark_any_more_is_given_out_at_once() -> None:
    parser = FAMILIES["hermes"].parser(tools=TOOLS, prompt_end="")
    assert parser.feed("1 <tool") == [TextDelta("1")]
    assert parser.feed("s") == [TextDelta(" <tools")]


def test_a_json_text_that_is_no_call_is_given_out_at_once() -> None:
    parser = FAMILIES["llama3"].parser(tools=TOOLS, prompt_end="")
    assert parser.feed('{"answer') == []
    assert parser.feed('"') == [TextDelta('{"answer"')]


def test_a_name_that_no_tool_has_is_given_out_at_once() -> None:
    parser = FAMILIES["deepseek-v3.1"].parser(tools=TOOLS, prompt_end="")
    begun = "<\uff5ctool▁call▁begin\uff5c>get_"
    assert parser.feed(begun) == []
    assert parser.feed("time") == [TextDelta(f"{begun}time")]


def test_reasoning_is_known_while_it_goes_on() -> None:
    family = FAMILIES["hermes"]
    assert family.parser(tools=(), prompt_end="assistant\n<think>\n").thinking
    parser = family.parser(tools=(), prompt_end="what is <think>?<|im_end|>\nassistant\n")
    assert not parser.thinking
    parser.feed("<think>hm")
    assert parser.thinking
    assert parser.feed("</think>") == []
    assert not parser.thinking


def test_reasoning_begins_nowhere_but_at_the_beginning_or_behind_a_call() -> None:
    family = FAMILIES["hermes"]
    text = "The mark <think> begins it, </think> ends it."
    assert taken_apart(family, [text]).said == text
    call = '<tool_call>{"name": "now"}</tool_call>'
    found = taken_apart(family, [f"{call}<think>so</think>{call}"])
    assert (found.thought, found.order) == ("so", "ctc")


def test_reasoning_that_is_cut_off_is_reasoning() -> None:
    parser = FAMILIES["command"].parser(tools=TOOLS, prompt_end="<|START_THINKING|>")
    assert parser.feed("so <|END") == [ReasoningDelta("so")]
    assert parser.finish() == [ReasoningDelta(" <|END")]
    assert parser.thinking


def test_own_ids_are_kept_once() -> None:
    kimi = "<|tool_call_begin|>functions.now:0<|tool_call_argument_begin|>{}<|tool_call_end|>" * 2
    own, new = taken_apart(FAMILIES["kimi"], [kimi]).ids
    assert own == "functions.now:0"
    assert re.fullmatch(r"call_[0-9a-f]{24}", new)
    mistral = "[TOOL_CALLS]now[CALL_ID]abcdefghi[ARGS]{}[TOOL_CALLS]now[ARGS]{}"
    own, new = taken_apart(FAMILIES["mistral-named"], [mistral]).ids
    assert own == "abcdefghi"
    assert re.fullmatch(r"[a-zA-Z0-9]{9}", new)


def test_new_ids_differ() -> None:
    assert long_id() != long_id()
    assert short_id() != short_id()
