# SPDX-License-Identifier: GPL-3.0-only
"""Generations of chats in which reasoning, calls of tools and text are told apart."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from driver import GREEDY, Driver, ask, chat, is_clean
from modeld_llama_cpp.chat.formats import marked_parser
from modeld_llama_cpp.engine import chat_generation, request_reader
from msgspec.structs import replace
from tiny_gguf import ALPHABET, EOS, SILENT, Script, circle, token_of, write_scripted

from modeld import Failed, FinishReason, Message, Sampling
from modeld.messages import Reasoning, Tool, ToolChoice

Start = Callable[..., Driver]

CONTENT = "{% for m in messages %}{{ m.content }}{% endfor %}"
OPENED = CONTENT + "<think>{# </think> #}"
"""A template that begins reasoning itself."""

THINKS = CONTENT + "{# <think></think> #}"
"""A template of a model that begins reasoning itself."""

PLAIN = "{% for m in messages %}{{ m.content }}{% endfor %}"
KNOWS_TOOLS = "{{ tools | tojson if tools else '' }}{# <tool_call> #}" + CONTENT

THINKING: Script = ALPHABET | {b">": b"a"}
"""After `>` comes the alphabet, so that a mark is followed by a text that is known."""

SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Bern", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = Tool(name="weather", parameters=SCHEMA)
CLOCK = Tool(name="clock")
REQUIRED = ToolChoice(mode="required")


@pytest.fixture
def thinking(tmp_path: Path, start: Start) -> Driver:
    path = write_scripted(tmp_path / "thinking.gguf", THINKING)
    return start(path, chat_template=OPENED)


# Reasoning


def test_what_a_model_thinks_is_no_part_of_its_text(thinking: Driver) -> None:
    generation = thinking.read(chat("x", reasoning=Reasoning(budget_tokens=3)))
    assert generation.reasoning == "abc"
    assert generation.text == "abcdefghijklmnopqrstuvwxyz"
    assert generation.reason is FinishReason.STOP
    usage = generation.end.usage
    assert usage.reasoning_tokens == 3 + len("</think>")
    assert usage.completion_tokens == usage.reasoning_tokens + 27
    assert is_clean(thinking)


def test_without_a_budget_a_model_thinks_as_long_as_it_likes(thinking: Driver) -> None:
    generation = thinking.read(chat("x"))
    assert (generation.reasoning, generation.text) == ("abcdefghijklmnopqrstuvwxyz", "")
    assert generation.end.usage.reasoning_tokens == 27


@pytest.mark.parametrize("reasoning", [Reasoning(budget_tokens=0), Reasoning(enabled=False)])
def test_reasoning_that_is_not_wanted_is_ended_at_once(
    reasoning: Reasoning, thinking: Driver
) -> None:
    generation = thinking.read(chat("x", reasoning=reasoning))
    assert (generation.reasoning, generation.text) == ("", "abcdefghijklmnopqrstuvwxyz")


def test_a_budget_is_kept_to_where_probabilities_are_wanted(thinking: Driver) -> None:
    asked = chat("x", reasoning=Reasoning(budget_tokens=3), logprobs=0)
    generation = thinking.read(asked)
    assert (generation.reasoning, generation.text) == ("abc", "abcdefghijklmnopqrstuvwxyz")
    written = b"".join(each.chosen.piece for each in generation.logprobs)
    assert written == b"abc</think>abcdefghijklmnopqrstuvwxyz</s>"


def test_a_budget_cuts_no_character(tmp_path: Path, start: Start) -> None:
    first, second, third = (bytes([byte]) for byte in "€".encode())
    script = {b">": first, first: second, second: third, third: EOS}
    driver = start(write_scripted(tmp_path / "m.gguf", script), chat_template=OPENED)
    generation = driver.read(chat("x", reasoning=Reasoning(budget_tokens=1)))
    assert (generation.reasoning, generation.text) == ("€", "€")


def test_a_mark_that_ends_nothing_is_forced_once(
    thinking: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    output_of = request_reader.output_of

    def with_another_mark(*given: Any) -> object:
        output = output_of(*given)
        assert output is not None
        return dataclasses.replace(output, close=(token_of(b"q"),))

    monkeypatch.setattr(request_reader, "output_of", with_another_mark)
    generation = thinking.read(chat("x", reasoning=Reasoning(budget_tokens=2), max_tokens=20))
    assert generation.reasoning == "abqrstuvwxyz"


def test_a_stop_text_is_looked_for_in_reasoning_too(thinking: Driver) -> None:
    generation = thinking.read(chat("x", stop=("def",)))
    assert (generation.reasoning, generation.text) == ("abc", "")
    assert generation.reason is FinishReason.STOP


def test_a_mark_that_is_a_special_token_is_seen(tmp_path: Path, start: Start) -> None:
    script = ALPHABET | {b"x": SILENT, SILENT: b"a", b">": b"y"}
    path = write_scripted(tmp_path / "m.gguf", script, silent="<think>")
    driver = start(path, chat_template=THINKS)
    generation = driver.read(chat("x", reasoning=Reasoning(budget_tokens=4)))
    assert (generation.reasoning, generation.text) == ("abc", "yz")
    # The mark that begins it counts, as it was spent on it.
    assert generation.end.usage.reasoning_tokens == 4 + len("</think>")
    off = driver.read(chat("x", reasoning=Reasoning(enabled=False)))
    assert (off.reasoning, off.text) == ("", "yz")


def test_a_special_token_of_the_family_is_text_of_a_prompt_without_a_chat(
    tmp_path: Path, start: Start
) -> None:
    script = ALPHABET | {b"x": SILENT, SILENT: b"y"}
    path = write_scripted(tmp_path / "m.gguf", script, silent="<think>")
    generation = start(path, chat_template=THINKS).read(ask("x"))
    assert (generation.reasoning, generation.text) == ("", "yz")


def test_a_constraint_is_about_the_text_and_not_about_what_is_thought(thinking: Driver) -> None:
    for logprobs in (None, 0):
        reasoning = Reasoning(budget_tokens=3)
        generation = thinking.read(
            chat("x", reasoning=reasoning, regex="[0-9]{3}", logprobs=logprobs)
        )
        assert generation.reasoning == "abc"
        assert len(generation.text) == 3
        assert generation.text.isdigit()
        assert generation.reason is FinishReason.STOP
    assert is_clean(thinking)


def test_a_model_that_would_end_in_its_thoughts_must_answer_first(thinking: Driver) -> None:
    generation = thinking.read(chat("x", regex="[0-9]{3}"))
    assert generation.reasoning == "abcdefghijklmnopqrstuvwxyz"
    assert generation.text.isdigit()


def test_a_constraint_waits_only_for_reasoning_that_begins(tmp_path: Path, start: Start) -> None:
    script = ALPHABET | {b"x": SILENT, SILENT: b"a", b">": b"y"}
    path = write_scripted(tmp_path / "m.gguf", script, silent="<think>")
    driver = start(path, chat_template=THINKS)
    thought = driver.read(chat("x", regex="[0-9]{3}", reasoning=Reasoning(budget_tokens=4)))
    assert thought.reasoning == "abc"
    assert thought.text.isdigit()
    for asked in (
        chat("a", regex="[0-9]{3}"),
        chat("x", regex="[0-9]{3}", reasoning=Reasoning(enabled=False)),
    ):
        answered = driver.read(asked)
        assert answered.reasoning == ""
        assert answered.text.isdigit()
        assert answered.end.usage.completion_tokens == 3


def test_drafts_and_reasoning_go_together(tmp_path: Path, start: Start) -> None:
    path = write_scripted(tmp_path / "m.gguf", circle(b"abcdef") | {b">": b"a"})
    asked = chat("abcdefabcdef", max_tokens=60, reasoning=Reasoning(budget_tokens=20))
    plain = start(path, chat_template=OPENED, draft_tokens=0).read(asked)
    drafting = start(path, chat_template=OPENED, draft_tokens=8).read(asked)
    assert plain.reasoning == ("abcdef" * 4)[:20]
    assert (drafting.reasoning, drafting.text) == (plain.reasoning, plain.text)
    assert drafting.end == plain.end


# Calls of tools


@pytest.mark.parametrize("template", [PLAIN, KNOWS_TOOLS, "chatml"])
def test_a_call_that_is_asked_for_is_made(template: str, random: Path, start: Start) -> None:
    driver = start(random, chat_template=template)
    for seed in range(3):
        asked = chat(
            "x",
            tools=(CLOCK, WEATHER),
            tool_choice=ToolChoice(mode="required", names=("weather",)),
            parallel_tool_calls=False,
            sampling=Sampling(temperature=3.0, seed=seed),
            max_tokens=300,
        )
        generation = driver.read(asked)
        assert generation.text == ""
        ((name, arguments),) = generation.tool_calls
        assert name == "weather"
        assert json.loads(arguments)["city"] in {"Bern", "Rome"}
        assert generation.reason is FinishReason.TOOL_CALLS
        assert generation.calls[0].id
    assert is_clean(driver)


def test_the_parts_of_a_call_have_the_probabilities_of_its_tokens(
    random: Path, start: Start
) -> None:
    driver = start(random, chat_template=PLAIN)
    asked = chat("x", tools=(WEATHER,), tool_choice=REQUIRED, parallel_tool_calls=False, logprobs=0)
    generation = driver.read(asked)
    written = b"".join(each.chosen.piece for each in generation.logprobs).decode()
    assert written.startswith("<tool_call>")
    assert len(generation.logprobs) == generation.end.usage.completion_tokens


def test_a_model_that_may_call_may_also_answer(scripted: Path, start: Start) -> None:
    driver = start(scripted, chat_template=KNOWS_TOOLS)
    generation = driver.read(chat("w", tools=(WEATHER,)))
    assert (generation.text, generation.calls) == ("xyz", [])
    assert generation.reason is FinishReason.STOP


CALLS = '<tool_call>{"name": "clock", "arguments": {}}</tool_call>'


def write_calls(driver: Driver, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let a model write a text, whatever it would write itself."""
    forced = list(text.encode())
    tokens = [driver.engine._vocabulary.tokenize(bytes([b]), add_special=False)[-1] for b in forced]
    init = chat_generation.ChatGeneration.__init__

    def begin(self: chat_generation.ChatGeneration, *args: object) -> None:
        init(self, *args)  # type: ignore[arg-type]
        self._queue = list(tokens)

    monkeypatch.setattr(chat_generation.ChatGeneration, "__init__", begin)


@pytest.mark.parametrize(("parallel", "count"), [(True, 2), (False, 1)])
def test_several_calls_are_made_only_where_they_may(
    parallel: bool,
    count: int,
    scripted: Path,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = start(scripted, chat_template=PLAIN)
    write_calls(driver, monkeypatch, CALLS + CALLS)
    asked = chat("x", tools=(CLOCK,), parallel_tool_calls=parallel, max_tokens=150)
    generation = driver.read(asked)
    assert generation.tool_calls == [("clock", "{}")] * count
    ended = FinishReason.LENGTH if parallel else FinishReason.TOOL_CALLS
    assert generation.reason is ended
    assert is_clean(driver)


def test_only_tools_that_are_named_are_called(
    scripted: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = start(scripted, chat_template=PLAIN)
    write_calls(driver, monkeypatch, CALLS)
    asked = chat("x", tools=(CLOCK, WEATHER), max_tokens=60)
    assert driver.read(asked).tool_calls == [("clock", "{}")]
    only = ToolChoice(names=("weather",))
    generation = driver.read(replace(asked, tool_choice=only))
    assert generation.calls == []
    assert generation.text.startswith(CALLS)


def test_a_call_that_the_limit_cuts_is_told_as_such(
    scripted: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = start(scripted, chat_template=PLAIN)
    write_calls(driver, monkeypatch, CALLS)
    generation = driver.read(chat("x", tools=(CLOCK,), max_tokens=len(CALLS)))
    assert generation.tool_calls == [("clock", "{}")]
    assert generation.reason is FinishReason.LENGTH


def test_a_forced_call_that_the_limit_cuts_is_a_call_all_the_same(
    scripted: Path, start: Start
) -> None:
    driver = start(scripted, chat_template=PLAIN)
    asked = chat("x", tools=(WEATHER,), tool_choice=REQUIRED)
    ((name, arguments),) = driver.read(asked).tool_calls
    for count in (1, 12, 30, 40, 55, 60, 65, 70, 75, 80):
        cut = driver.read(replace(asked, max_tokens=count))
        assert (cut.text, cut.reason) == ("", FinishReason.LENGTH)
        ((name, begun),) = cut.tool_calls
        assert name == "weather"
        assert arguments.startswith(begun)
    assert begun
    assert is_clean(driver)


def test_text_that_looks_like_a_call_is_text_where_nothing_may_be_called(
    scripted: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = start(scripted, chat_template=OPENED)
    write_calls(driver, monkeypatch, "</think>" + CALLS)
    none = ToolChoice(mode="none")
    generation = driver.read(chat("x", tools=(CLOCK,), tool_choice=none, max_tokens=70))
    assert (generation.text[:11], generation.calls) == (CALLS[:11], [])


# What is refused, and what is left alone


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"reasoning": Reasoning(enabled=True)}, "reasoning"),
        ({"reasoning": Reasoning(budget_tokens=4)}, "reasoning"),
        ({"template_kwargs": {"enable_thinking": False}}, "template_kwargs.enable_thinking"),
        ({"tools": (WEATHER,), "json_schema": SCHEMA}, "json_schema"),
        ({"tools": (WEATHER,), "tool_choice": REQUIRED, "regex": "a"}, "regex"),
        (
            {"tools": (Tool(name="f", parameters={"type": "nothing"}),), "tool_choice": REQUIRED},
            "tools",
        ),
        ({"continue_last": True, "messages": (Message(role="assistant"),)}, "continue_last"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    fields: dict[str, object], field: str, scripted: Path, start: Start
) -> None:
    driver = start(scripted, chat_template=PLAIN)
    messages = fields.pop("messages", (Message(role="user", content="x"),))
    base = chat("x")
    request = type(base)(messages=messages, sampling=GREEDY, max_tokens=5, **fields)
    end = driver.read(request).end
    assert isinstance(end, Failed)
    assert end.field == field
    assert is_clean(driver)


def test_nothing_is_parsed_where_there_is_nothing_to_parse(
    scripted: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        pytest.fail("a parser was made")

    monkeypatch.setattr(marked_parser.MarkedParser, "__init__", never)
    driver = start(scripted, chat_template=PLAIN)
    assert driver.read(chat("w")).text == "xyz"
    assert driver.read(chat("w", tools=(CLOCK,), tool_choice=ToolChoice(mode="none"))).text == "xyz"
    assert start(scripted, chat_template=OPENED).read(ask("w")).text == "xyz"


def test_a_generation_goes_on_with_the_last_message(scripted: Path, start: Start) -> None:
    driver = start(scripted, chat_template=CONTENT + "{{ 'a' if add_generation_prompt else 'm' }}")
    messages = (Message(role="user", content="x"), Message(role="assistant", content="uv"))
    request = type(chat("x"))(messages=messages, continue_last=True, sampling=GREEDY)
    assert driver.read(request).text == "wxyz"


# gpt-oss, in whose texts something must stand before the text


HARMONY = (
    "{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}{# <|channel|> #}"
)


def test_a_generation_of_gpt_oss_that_is_constrained_comes_on_its_channel(
    tmp_path: Path, start: Start
) -> None:
    # Elsewhere `<|end|>` ends a generation, as far as llama.cpp knows.
    path = write_scripted(tmp_path / "m.gguf", THINKING, end="<|other|>")
    driver = start(path, chat_template=HARMONY)
    asked = chat("x", regex="[0-9]{3}", reasoning=Reasoning(budget_tokens=3), logprobs=0)
    generation = driver.read(asked)
    assert generation.reasoning == "ab"  # the token that ends the mark before it counts
    assert generation.text.isdigit()
    written = b"".join(each.chosen.piece for each in generation.logprobs).decode()
    assert written.startswith(
        "<|channel|>analysis<|message|>ab<|end|><|start|>assistant<|channel|>final<|message|>"
    )


# With a real model


@pytest.mark.model
def test_what_a_real_model_says_in_a_chat_is_passed_on_as_it_is(
    smollm2: Path, start: Start
) -> None:
    driver = start(smollm2)
    asked = "> quote\n\nTell me a joke about <b>bold</b> text"
    generation = driver.read(chat(asked, max_tokens=24, logprobs=0))
    written = b"".join(each.chosen.piece for each in generation.logprobs).decode()
    assert generation.text == written.removesuffix("<|im_end|>")
    assert generation.text.startswith("What's a")  # how it goes on differs between processors
    assert generation.end.usage.prompt_tokens == 47


@pytest.mark.model
def test_a_real_model_calls_a_tool_that_its_template_does_not_know(
    smollm2: Path, start: Start
) -> None:
    driver = start(smollm2)
    asked = chat(
        "What is the weather in Rome?",
        tools=(WEATHER, CLOCK),
        tool_choice=REQUIRED,
        parallel_tool_calls=False,
        max_tokens=100,
    )
    generation = driver.read(asked)
    assert generation.tool_calls == [("weather", '{"city": "Rome"}')]
    assert generation.reason is FinishReason.TOOL_CALLS


@pytest.mark.model
def test_a_real_model_thinks_within_its_budget_and_then_answers_in_form(
    smollm2: Path, start: Start
) -> None:
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "<|im_start|>assistant\n<think>\n{# </think> #}"
    )
    driver = start(smollm2, chat_template=template)
    reasoning = Reasoning(budget_tokens=12)
    asked = chat("Where is the Colosseum?", reasoning=reasoning, json_schema=SCHEMA, max_tokens=60)
    generation = driver.read(asked)
    assert generation.reasoning
    assert 12 <= generation.end.usage.reasoning_tokens <= 12 + 4
    assert json.loads(generation.text)["city"] in {"Bern", "Rome"}
    assert generation.reason is FinishReason.STOP
