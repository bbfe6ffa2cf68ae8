# SPDX-License-Identifier: GPL-3.0-only
"""Chats with tools through templates that know of none, and through those that do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from chats import prompt_of, talk
from modeld_llama_cpp.chat.template import ChatTemplate

from modeld import Message
from modeld.messages import Tool, ToolCall

PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }};{% endfor %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + PLAIN
KNOWS = (
    "{# <tool_call> #}{% if tools %}tools={{ tools | tojson }};{% endif %}{% for m in messages %}"
    "<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}"
    "call={{ c.function | tojson }}{% endfor %}"
    "{% if m.tool_call_id %}of={{ m.tool_call_id }},{{ m.name }}{% endif %};{% endfor %}"
)

WEATHER = Tool(
    name="weather", description="of today", parameters={"type": "object", "properties": {}}
)
WRITTEN = (
    '{"type": "function", "function": {"name": "weather", "description": "of today",'
    ' "parameters": {"type": "object", "properties": {}}}}'
)
CALL = ToolCall(id="abc", name="weather", arguments='{"city":"Bern"}')
CHAT = (
    *talk("user: hello"),
    Message(role="assistant", tool_calls=(CALL,)),
    Message(role="tool", content="sun", tool_call_id="abc", name="weather"),
    Message(role="tool", content="wind", tool_call_id="abd", name="weather"),
)


@pytest.fixture
def make() -> Iterator[Callable[[str], ChatTemplate]]:
    made: list[ChatTemplate] = []

    def make_one(source: str) -> ChatTemplate:
        made.append(ChatTemplate(source))
        return made[-1]

    yield make_one
    for template in made:
        template.close()


Make = Callable[[str], ChatTemplate]


@pytest.mark.parametrize("source", [PLAIN, "chatml"])
def test_a_template_that_knows_no_tools_is_told_of_them_in_a_system_turn(
    source: str, make: Make
) -> None:
    prompt = prompt_of(make(source), talk("user: hello"), tools=(WEATHER,))
    said = prompt.index("<tools>\n" + WRITTEN + "\n</tools>")
    assert prompt.index("system") < said < prompt.index("hello")
    assert (
        '<tool_call>\n{"name": "NAME", "arguments": {"ARGUMENT": "VALUE"}}\n</tool_call>' in prompt
    )


def test_what_the_system_says_itself_comes_first(make: Make) -> None:
    prompt = prompt_of(make(PLAIN), talk("system: be kind", "user: hello"), tools=(WEATHER,))
    assert prompt.startswith("<system>be kind\n\nYou may call functions")
    assert prompt.count("<system>") == 1


def test_a_template_without_system_turns_has_the_tools_in_the_first_turn(make: Make) -> None:
    prompt = prompt_of(make(NO_SYSTEM), talk("user: hello"), tools=(WEATHER,))
    assert prompt.startswith("<user>You may call functions")
    assert prompt.endswith("\n\nhello;")


@pytest.mark.parametrize("source", [PLAIN, "chatml"])
def test_calls_and_results_are_told_too(source: str, make: Make) -> None:
    prompt = prompt_of(make(source), CHAT)
    call = '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>'
    results = "<tool_response>\nsun\n</tool_response>\n<tool_response>\nwind\n</tool_response>"
    assert prompt.index("assistant") < prompt.index(call) < prompt.index(results)
    assert prompt.count("user") == 2


def test_text_beside_a_call_is_kept(make: Make) -> None:
    message = Message(role="assistant", content="let me see", tool_calls=(CALL,))
    assert "let me see\n<tool_call>" in prompt_of(make(PLAIN), (*CHAT[:1], message))


def test_a_template_that_knows_tools_has_all_of_it_as_it_wants_it(make: Make) -> None:
    assert prompt_of(make(KNOWS), CHAT, tools=(WEATHER,)) == (
        f"tools=[{WRITTEN}];<user>hello;"
        '<assistant>call={"name": "weather", "arguments": {"city": "Bern"}};'
        "<tool>sunof=abc,weather;<tool>windof=abd,weather;"
    )


def test_without_tools_nothing_is_told(make: Make) -> None:
    assert prompt_of(make(PLAIN), talk("user: hello")) == "<user>hello;"
    assert prompt_of(make(KNOWS), talk("user: hello")) == "<user>hello;"


PHI = (
    "{% for m in messages %}{% if m.role == 'system' and 'tools' in m %}"
    "<system>{{ m.content }}<|tool|>{{ m.tools }}<|/tool|>;"
    "{% else %}<{{ m.role }}>{{ m.content }};{% endif %}{% endfor %}"
)


@pytest.mark.parametrize(
    ("chat", "system"),
    [(talk("user: hello"), ""), (talk("system: be kind", "user: hello"), "be kind")],
)
def test_a_template_may_take_tools_as_a_text_in_the_system_turn(
    chat: tuple[Message, ...], system: str, make: Make
) -> None:
    function = WRITTEN.removeprefix('{"type": "function", "function": ').removesuffix("}")
    assert prompt_of(make(PHI), chat, tools=(WEATHER,)) == (
        f"<system>{system}<|tool|>[{function}]<|/tool|>;<user>hello;"
    )


def test_calls_are_of_the_family_only_where_the_template_tells_of_tools(make: Make) -> None:
    gemma = "<start_of_turn>" + PLAIN
    assert make(PHI).format.name == "phi"
    assert make(gemma).format.name == "generic"
    assert make(gemma).format.think_end == ""
    assert make(gemma + "{{ tools | tojson if tools }}").format.name == "gemma"


def test_a_template_whose_calls_nobody_can_read_is_told_of_the_generic_form(make: Make) -> None:
    unknown = KNOWS.replace("{# <tool_call> #}", "")
    assert "<tools>" in prompt_of(make(unknown), CHAT, tools=(WEATHER,))
    assert make(unknown).format.name == "generic"


def test_calls_that_are_told_have_one_form_in_the_whole_chat(make: Make) -> None:
    source = KNOWS.replace("tools=", "").replace("{{ tools | tojson }}", "")
    prompt = prompt_of(make(source), CHAT, tools=(WEATHER,))
    assert '<assistant><tool_call>\n{"name": "weather"' in prompt
    assert "<user><tool_response>" in prompt
    assert "call={" not in prompt
    assert "call={" in prompt_of(make(source), CHAT)
