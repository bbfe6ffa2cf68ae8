# SPDX-License-Identifier: GPL-3.0-only
"""Under a grammar that forces calls, whatever is written parses into calls that conform."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from random import Random
from typing import Any

import jsonschema
import pytest
from modeld_llama_cpp.chat.formats.chat_format import TOOLS_KIND, ChatFormat
from modeld_llama_cpp.chat.formats.family import MarkedFamily
from modeld_llama_cpp.chat.formats.harmony import HarmonyFormat
from modeld_llama_cpp.constraints.compiler import compile_constraint
from modeld_llama_cpp.constraints.matching.matcher_cache import Constraints
from steering import Bytes, Walker
from taking_apart import FAMILIES, NOW, PYTHON, WEATHER, Apart, taken_apart

from modeld.errors import InvalidRequestError
from modeld.messages import Tool, ToolChoice

PLAN = Tool(
    name="plan",
    parameters={
        "type": "object",
        "properties": {
            "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "maxItems": 2},
            "mood": {"enum": ["calm", "in haste"]},
            "note": {"type": ["string", "null"], "maxLength": 3},
            "level": {"type": "number", "minimum": 0, "maximum": 1},
        },
        "required": ["steps", "mood"],
        "additionalProperties": False,
        "$defs": {
            "step": {
                "type": "object",
                "properties": {"at": {"type": "integer", "minimum": 0}},
                "required": ["at"],
                "additionalProperties": False,
            }
        },
    },
    strict=True,
)
CODE = Tool(
    name="code",
    parameters={
        "type": "object",
        "properties": {"id": {"type": "string", "pattern": "^[A-Z]{2}[0-9]$"}},
        "required": ["id"],
    },
)
EITHER = Tool(
    name="either",
    parameters={
        "anyOf": [
            {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "boolean"}}, "required": ["b"]},
        ]
    },
)
OPTIONAL = Tool(
    name="optional",
    parameters={"type": "object", "properties": {"a": {"type": "integer"}, "b-c": {}}},
)
TOOLS = (WEATHER, PYTHON, NOW, PLAN, CODE, EITHER, OPTIONAL)
REQUIRED = ToolChoice(mode="required")

NAMES = sorted(FAMILIES)
FIRST_BYTE = 3
"""Where the wide vocabulary has its tokens of one byte each."""
PROMPT_ENDS = {"functionary-v3.2": "assistant<|end_header_id|>\n\n>>>"}


def schema(name: str) -> Any:
    (found,) = (tool.parameters for tool in TOOLS if tool.name == name)
    return found or {"type": "object", "maxProperties": 0}


def with_tokens(family: ChatFormat, ids: dict[str, int]) -> ChatFormat:
    assert isinstance(family, MarkedFamily | HarmonyFormat)
    return replace(family, tokens=ids)


def source_of(family: ChatFormat, **changes: Any) -> str:
    given: dict[str, Any] = {"tools": TOOLS, "choice": REQUIRED, "prompt_end": ""}
    found = family.forced(**({"parallel": True} | given | changes))
    assert found is not None
    assert found[0] == TOOLS_KIND
    return found[1]


def walker_for(family: ChatFormat, vocabulary: Bytes | None = None, **changes: Any) -> Walker:
    return Walker(
        compile_constraint(TOOLS_KIND, source_of(family, **changes)).text,
        vocabulary or Bytes.with_specials(),
    )


def walks(walker: Walker, family: ChatFormat, begin: str = "", count: int = 6) -> list[str]:
    random = Random(3)
    marks = [*sorted(family.keeps_special), "\n</parameter>\n", "</arg_value>\n", "</parameter>\n"]
    if isinstance(family, HarmonyFormat):  # whose other marks are tokens, which no thought has
        marks = [family.think_end]
    found = (walker.walk(random, marks, begin) for _ in range(10 * count))
    ended = list(itertools.islice((each for each in found if each is not None), count))
    assert len(ended) == count
    return ended


def assert_conforms(found: Apart) -> None:
    for name, arguments in found.calls:
        jsonschema.validate(json.loads(arguments), schema(name))


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_forced_is_calls_that_conform(name: str, parallel: bool) -> None:
    family, prompt_end = FAMILIES[name], PROMPT_ENDS.get(name, "")
    walker = walker_for(family, parallel=parallel, prompt_end=prompt_end)
    seen = set()
    for text in walks(walker, family):
        found = taken_apart(family, [text], tools=TOOLS, prompt_end=prompt_end)
        assert found.calls, text
        assert not found.said.strip(), text
        assert len(found.calls) == 1 or parallel
        assert_conforms(found)
        seen |= {name for name, _ in found.calls}
    assert len(seen) > 1


@pytest.mark.parametrize("name", NAMES)
def test_only_the_tools_that_are_named_are_called(name: str) -> None:
    family, prompt_end = FAMILIES[name], PROMPT_ENDS.get(name, "")
    choice = ToolChoice(mode="required", names=("plan",))
    walker = walker_for(family, choice=choice, prompt_end=prompt_end)
    for text in walks(walker, family, count=3):
        found = taken_apart(family, [text], tools=TOOLS, prompt_end=prompt_end)
        assert {name for name, _ in found.calls} == {"plan"}
        assert_conforms(found)


@pytest.mark.parametrize("name", [name for name in NAMES if FAMILIES[name].think_end])
def test_reasoning_that_the_prompt_has_begun_comes_before_a_forced_call(name: str) -> None:
    family = FAMILIES[name]
    if isinstance(family, MarkedFamily):
        prompt_end, begin = f"assistant\n{family.think[0]}\n", f"So.{family.think_end}\n"
    else:
        prompt_end = "<|start|>assistant<|channel|>analysis<|message|>"
        begin = f"So.{family.think_end}<|start|>assistant"
    walker = walker_for(family, prompt_end=prompt_end)
    for text in walks(walker, family, begin, count=3):
        found = taken_apart(family, [text], tools=TOOLS, prompt_end=prompt_end)
        assert found.thought == "So."
        assert found.calls
        assert_conforms(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_free_model_calls_strict_tools_as_they_are(name: str) -> None:
    family, prompt_end = FAMILIES[name], PROMPT_ENDS.get(name, "")
    walker = walker_for(family, choice=ToolChoice(), prompt_end=prompt_end)
    if isinstance(family, MarkedFamily):
        form = family.forms[0]
        opener = form.openers[0] if form.openers else form.bare
        before = "" if form.bare else "Well. "
        begins = [form.no_call + before + opener, "all\nWell." if form.no_call else "Well."]
    else:
        begins = ["<|channel|>commentary to=", "<|channel|>final<|message|>Well."]
    for text in walks(walker, family, begins[0], count=3):
        found = taken_apart(family, [text], tools=TOOLS, prompt_end=prompt_end)
        assert found.calls, text
        assert_conforms(found)
    assert walker.takes(begins[1].encode())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("choice", [REQUIRED, ToolChoice()], ids=["required", "auto"])
def test_marks_that_are_tokens_are_written_as_tokens(name: str, choice: ToolChoice) -> None:
    vocabulary = Bytes.with_specials(*sorted(FAMILIES[name].keeps_special))
    family, prompt_end = with_tokens(FAMILIES[name], vocabulary.ids), PROMPT_ENDS.get(name, "")
    walker = walker_for(family, vocabulary, choice=choice, prompt_end=prompt_end)
    random, calls, ended = Random(5), 0, 0
    for _ in range(12):
        text = walker.walk(random, ['"', "}"])
        if text is not None:
            found = taken_apart(family, [text], tools=TOOLS, prompt_end=prompt_end)
            assert_conforms(found)
            calls += len(found.calls)
            ended += 1
            assert found.calls or choice.mode == "auto", text
    assert ended > 1
    source = source_of(family, choice=choice, prompt_end=prompt_end)
    assert not any(mark in source for mark in vocabulary.ids)


def test_nothing_is_forced_where_a_model_is_free() -> None:
    for family in FAMILIES.values():
        for choice, tools in (
            (ToolChoice(mode="none"), TOOLS),
            (ToolChoice(), (PYTHON, NOW)),
            (ToolChoice(), ()),
            (ToolChoice(names=("python",)), TOOLS),
        ):
            assert family.forced(tools=tools, choice=choice, parallel=True, prompt_end="") is None


def test_a_call_of_a_tool_that_is_not_there_cannot_be_forced() -> None:
    choice = ToolChoice(mode="required", names=("nobody",))
    with pytest.raises(InvalidRequestError, match="no such tool") as caught:
        source_of(FAMILIES["hermes"], choice=choice)
    assert caught.value.field == "tool_choice"


UNKEPT = Tool(
    name="unkept",
    parameters={"type": "object", "properties": {"a": {"uniqueItems": True, "type": "array"}}},
)


def test_a_schema_that_cannot_be_kept_to_is_refused_where_it_must_be() -> None:
    with pytest.raises(InvalidRequestError, match=r"tool 'unkept' cannot be kept to: \$\.prop"):
        source_of(FAMILIES["hermes"], tools=(UNKEPT,))
    free = walker_for(FAMILIES["hermes"], tools=(UNKEPT, WEATHER), choice=ToolChoice())
    call = '<tool_call>\n{"name": "unkept", "arguments": {"b": []}}\n</tool_call>'
    assert free.takes(call.encode())


def test_a_strict_call_takes_nothing_but_what_its_schema_allows() -> None:
    walker = walker_for(FAMILIES["hermes"], choice=ToolChoice(), parallel=False)
    call = '<tool_call>\n{"name": "get_weather", "arguments": %s}\n</tool_call>'
    assert walker.takes((call % '{"city": "Bern", "days": 3}').encode())
    assert not walker.takes((call % '{"city": "Bern", "days": 10}').encode())
    assert not walker.takes((call % '{"days": 3}').encode())
    assert not walker.takes(b"Well. <tool_call>no")
    assert walker.takes(b"Well. <tool_cal")


def test_texts_between_tags_have_no_quotes() -> None:
    walker = walker_for(FAMILIES["qwen3-coder"])
    text = "<tool_call>\n<function=python>\n<parameter=code>\n{}\n</parameter>\n</function>\n"
    assert walker.takes(f"{text.format('a = 1')}</tool_call>".encode())
    mood = (
        "<tool_call>\n<function=plan>\n<parameter=steps>\n[]\n</parameter>\n<parameter=mood>\n{}"
        "\n</parameter>\n</function>\n</tool_call>"
    )
    assert walker.takes(mood.format("in haste").encode())
    assert not walker.takes(mood.format('"in haste"').encode())


def test_the_matcher_of_the_engine_follows_a_forced_call(constraints: Constraints) -> None:
    source = source_of(FAMILIES["hermes"], tools=(WEATHER,), parallel=False)
    matcher = constraints.matcher_for(TOOLS_KIND, source)
    call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Bern"}}\n</tool_call>'
    for byte in call.encode():
        assert not matcher.can_end
        matcher.accept(byte + FIRST_BYTE)
    assert matcher.can_end
    assert matcher.is_finished


@pytest.mark.parametrize("parameters", [{}, {"type": ["object", "null"]}])
def test_arguments_are_an_object_whatever_else_a_schema_allows(parameters: dict[str, Any]) -> None:
    walker = walker_for(FAMILIES["hermes"], tools=(Tool(name="any", parameters=parameters),))
    call = '<tool_call>\n{"name": "any", "arguments": %s}\n</tool_call>'
    assert walker.takes((call % '{"a": 1}').encode())
    assert not walker.takes((call % "null").encode())
    assert not walker.takes((call % "1").encode())


def test_a_schema_of_no_object_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="cannot be kept to") as caught:
        source_of(FAMILIES["hermes"], tools=(Tool(name="a", parameters={"type": "string"}),))
    assert caught.value.field == "tools"


def test_a_schema_may_refer_to_parts_of_itself() -> None:
    parameters = {
        "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/properties/a"}},
        "required": ["a", "b"],
    }
    for name in ("hermes", "lfm2", "glm"):
        source_of(FAMILIES[name], tools=(Tool(name="pair", parameters=parameters),))
