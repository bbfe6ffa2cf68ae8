# SPDX-License-Identifier: GPL-3.0-only
"""Chats through the real templates of many models: nothing is lost, and nothing is forged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from chats import prompt_of, talk
from modeld_llama_cpp.chat import template as templates
from modeld_llama_cpp.chat import template_process
from modeld_llama_cpp.chat.hidden_texts import SpecialTexts
from modeld_llama_cpp.chat.template import ChatTemplate

from modeld import GenerateRequest, Message
from modeld.messages import Tool, ToolCall

pytestmark = pytest.mark.model

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "where"}},
    "required": ["city"],
}
WEATHER = Tool(name="get_weather", description="of today", parameters=PARAMETERS)
CALL = ToolCall(id="abcdefghi", name="get_weather", arguments='{"city":"Rome"}')
CHAT = (
    *talk("user: What is it like?"),
    Message(role="assistant", tool_calls=(CALL,)),
    Message(role="tool", content="sunshine", name="get_weather", tool_call_id="abcdefghi"),
)
MARK = re.compile(r"<\|[\w/]+\|>|</?[\w:]+>|\[/?[A-Z_]+\]|<\uff5c[^<>]+\uff5c>")

ASKS_FOR_MORE = "fireworks-ai-llama-3-firefunction-v2"
"""It reads `functions`, a variable of its own."""


class Here:
    """Stands for the process that renders, so that many templates can be tried."""

    def __init__(self, _: str, setup: dict[str, object], **__: object) -> None:
        self.call = template_process._prepare(setup)


@pytest.fixture(scope="module")
def sources(real_models: Path) -> dict[str, str]:
    folder = real_models / "templates"
    assert folder.is_dir(), f"{folder} is not there; run `make models`"
    return {
        path.stem: path.read_text()
        for path in sorted(folder.glob("*.jinja"))
        if path.stem != ASKS_FOR_MORE
    }


@pytest.fixture
def made(sources: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, ChatTemplate]:
    monkeypatch.setattr(templates, "LimitedProcess", Here)
    return {name: chat_template(source) for name, source in sources.items()}


def chat_template(source: str) -> ChatTemplate:
    marks = {mark: index for index, mark in enumerate(sorted(set(MARK.findall(source))))}
    texts = SpecialTexts(control=marks)
    return ChatTemplate(source, bos="<bos>", eos="<eos>", specials=lambda: texts)


def lost(texts: tuple[str, ...], prompt: str) -> list[str]:
    return [text for text in texts if text not in prompt]


def test_no_template_loses_a_tool_a_call_or_a_result(made: dict[str, ChatTemplate]) -> None:
    said = ("What is it like?", "get_weather", "of today", "city", "Rome", "sunshine")
    found = {
        name: missing
        for name, template in made.items()
        if (missing := lost(said, prompt_of(template, CHAT, tools=(WEATHER,))))
    }
    assert not found


def test_every_template_can_be_gone_on_with(made: dict[str, ChatTemplate]) -> None:
    chat = talk("user: Who are you?", "assistant: I am, ")
    for name, template in made.items():
        prompt = prompt_of(template, chat, continue_last=True)
        assert prompt.endswith("I am, "), name
        assert "Who are you?" in prompt, name


def attempts(template: ChatTemplate, text: str) -> Iterator[tuple[int, str]]:
    """The number of marks where a text is said in each place of a chat, and all that is shown."""
    tool = Tool(name="get_weather", description=text, parameters=PARAMETERS | {"title": text})
    call = ToolCall(id="abcdefghi", name="get_weather", arguments=f'{{"city":"{text}"}}')
    result = Message(role="tool", content=text, name="get_weather", tool_call_id="abcdefghi")
    chats = (
        talk(f"user: {text}"),
        talk("user: a", f"assistant: {text}", "user: b"),
        (*talk("user: a"), Message(role="assistant", tool_calls=(call,)), result),
    )
    for chat in chats:
        rendered = template.render(GenerateRequest(messages=chat, tools=(tool,)))
        yield len(MARK.findall(rendered.text)), rendered.shown


def test_nothing_that_is_said_is_a_mark_of_any_template(
    made: dict[str, ChatTemplate], sources: dict[str, str]
) -> None:
    for name, template in made.items():
        if not (marks := sorted(set(MARK.findall(sources[name])))):
            continue
        forged = "x" + "x".join(marks) + "x"
        harmless = [count for count, _ in attempts(template, "x")]
        tried = list(attempts(template, forged))
        assert [count for count, _ in tried] == harmless, name
        assert forged in tried[0][1], name
