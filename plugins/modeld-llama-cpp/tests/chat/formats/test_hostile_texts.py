# SPDX-License-Identifier: GPL-3.0-only
"""No text makes a parser fail, and none of it gets lost."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outputs import BROKEN, OUTPUTS, Output
from taking_apart import FAMILIES, TOOLS, taken_apart

PIECES = sorted(
    {mark for family in FAMILIES.values() for mark in family.keeps_special}
    | {mark[:4] for family in FAMILIES.values() for mark in family.keeps_special}
    | {tool.name for tool in TOOLS}
    | {"{", "}", "[", "]", "(", ")", ",", ":", '"', "'", "=", "\n", " ", "\\", "\\u12", "1", "x"}
    | {'{"name": ', '"now"', '"arguments": ', '"parameters": {}', '{"name": "now"', "function", ";"}
    | {"<parameter=code>", "<function=now>", " to=functions.now", "call:now{", "```json", "é", "🏔"}
)
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=25)


def without_white_space(text: str) -> str:
    return "".join(text.split())


@given(name=st.sampled_from(sorted(FAMILIES)), pieces=TEXTS, data=st.data())
def test_no_text_makes_a_parser_fail_and_cuts_change_nothing(
    name: str, pieces: list[str], data: st.DataObject
) -> None:
    text = "".join(pieces)
    prompt_end = data.draw(st.sampled_from(["", "<think>\n", ">>>", "<|start|>assistant"]))
    family = FAMILIES[name]
    whole = taken_apart(family, [text], prompt_end=prompt_end)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    cut = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    found = taken_apart(family, cut, prompt_end=prompt_end)
    assert (found.said, found.thought, found.calls, found.order) == (
        whole.said,
        whole.thought,
        whole.calls,
        whole.order,
    )
    for _, arguments in whole.calls[:-1]:
        assert arguments[:1] == "{"


@given(name=st.sampled_from(sorted(FAMILIES)), text=st.text())
def test_a_text_without_marks_is_said_as_it_is(name: str, text: str) -> None:
    marks = (*FAMILIES[name].keeps_special, "{")
    if not any(mark in text for mark in marks):
        assert taken_apart(FAMILIES[name], list(text)).said == text


@given(name=st.sampled_from(sorted(FAMILIES)), pieces=TEXTS)
def test_nothing_is_said_that_was_not_written(name: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    found = taken_apart(FAMILIES[name], [text])
    rest = iter(without_white_space(text))
    assert all(char in rest for char in without_white_space(found.thought + found.said)) or (
        "t" in found.order and found.order != "ts"  # then they did not come one after the other
    )


@given(name=st.sampled_from(sorted(FAMILIES)), pieces=TEXTS)
def test_without_tools_all_but_whole_marks_is_given_out(name: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    family = FAMILIES[name]
    found = taken_apart(family, [text], tools=())
    given_out = without_white_space(found.thought + found.said)
    if name == "gpt-oss":  # headers are marks too
        return
    hidden = [family.think_end, *(mark for mark in family.keeps_special if mark in text)]
    left = without_white_space(text)
    for mark in hidden:
        left = left.replace(without_white_space(mark), "")
        given_out = given_out.replace(without_white_space(mark), "")
    assert given_out == left


def is_told_late(output: Output) -> bool:
    """Whether only what follows tells what a beginning is: code, or a mark inside of a value."""
    return "<|python_tag|>" in output.text or '"</arg_value>"' in output.text


@pytest.mark.parametrize("output", [*OUTPUTS, *BROKEN], ids=lambda each: each.family)
def test_an_output_that_ends_early_is_the_beginning_of_it(output: Output) -> None:
    if is_told_late(output):
        return
    for end in range(len(output.text)):
        found = taken_apart(
            FAMILIES[output.family], [output.text[:end]], prompt_end=output.prompt_end
        )
        assert output.thought.startswith(found.thought[: len(output.thought)])
        assert len(found.calls) <= len(output.calls)
        for (name, arguments), whole in zip(found.calls, output.calls, strict=False):
            assert name == whole[0]
            assert whole[1].startswith(arguments)


@pytest.mark.parametrize("name", sorted(FAMILIES))
@pytest.mark.parametrize("opening", ["[", "{", '{"a":', "(", "<think>", " ", "\\"])
def test_depth_and_length_are_no_faults(name: str, opening: str) -> None:
    family = FAMILIES[name]
    begins = ['{"name": "python", "arguments": ', *family.keeps_special]
    for begin in begins:
        text = begin + opening * 3_000
        started = time.perf_counter()
        taken_apart(family, [text])
        taken_apart(family, [text[at : at + 100] for at in range(0, len(text), 100)])
        assert time.perf_counter() - started < 10


def test_a_long_text_comes_in_linear_time() -> None:
    code = json.dumps({"code": "x = 1\n" * 5_000})
    text = f'<tool_call>{{"name": "python", "arguments": {code}}}</tool_call>'
    started = time.perf_counter()
    found = taken_apart(FAMILIES["hermes"], list(text))
    assert found.calls == [("python", code)]
    assert time.perf_counter() - started < 20
