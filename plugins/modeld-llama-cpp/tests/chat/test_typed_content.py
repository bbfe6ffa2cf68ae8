# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from chats import prompt_of
from driver import Driver, chat
from modeld_llama_cpp.chat import template_process
from modeld_llama_cpp.chat.chat_values import shaped
from modeld_llama_cpp.chat.template import ChatTemplate
from modeld_llama_cpp.chat.traits import Traits
from modeld_llama_cpp.chat.typed_content import typed_roles

from modeld import Message
from modeld.requests import ApplyTemplateRequest

Start = Callable[..., Driver]

TEXTS = "{% for m in messages %}{{ m.role }}={{ m.content }};{% endfor %}"
PARTS = (
    "{% for m in messages %}{{ m.role }}="
    "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %};"
    "{% endfor %}"
)
FIRST_PART = "{% for m in messages %}{{ m.role }}={{ m.content[0]['text'] }};{% endfor %}"
SELECTED = (
    "{% for m in messages %}{{ m.role }}="
    "{% for p in m.content | selectattr('type', 'equalto', 'text') %}{{ p.text }}{% endfor %};"
    "{% endfor %}"
)
NO_TEXTS = "{% for m in messages %}{% if m.content is string %}{{ raise_exception('parts!') }}"
REFUSING = NO_TEXTS + "{% endif %}{% endfor %}" + PARTS
BOTH = (
    "{% for m in messages %}{{ m.role }}="
    "{% if m.content is string %}text {{ m.content }}{% else %}{{ m.content[0].text }}{% endif %};"
    "{% endfor %}"
)
PARTS_OF_USERS = (
    "{% for m in messages %}{{ m.role }}={% if m.role == 'user' %}{{ m.content[0].text }}"
    "{% else %}{{ m.content + '' }}{% endif %};{% endfor %}"
)
PARTS_OF_ASSISTANTS = (
    "{% for m in messages %}{{ m.role }}={% if m.role == 'assistant' %}{{ m.content[0].text }}"
    "{% else %}{{ m.content + '' }}{% endif %};{% endfor %}"
)
AS_JSON = "{{ messages | tojson }}"
SYSTEM_FIRST = (
    "{% if messages[0].role != 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEXTS
)
ONLY_USERS = (
    "{% for m in messages %}{% if m.role != 'user' %}{{ raise_exception('no') }}{% endif %}"
    "{{ m.role }}={{ m.content[0].text }};{% endfor %}"
)
NOTHING = "{{ bos_token }}go on"

CHAT = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "yes"},
    {"role": "critic", "content": "no"},
]
WHOLE = "system=be brief;user=hello;assistant=yes;critic=no;"


def render(source: str, messages: list[dict[str, str]]) -> str:
    template = template_process.environment().from_string(source)

    def write(given: list[dict[str, object]]) -> str:
        return template_process.render(template, {"messages": given})

    return write(shaped(messages, Traits(typed=typed_roles(write))))


@pytest.mark.parametrize("source", [TEXTS, PARTS, FIRST_PART, SELECTED, REFUSING])
def test_a_template_gets_contents_in_the_form_that_it_keeps(source: str) -> None:
    assert render(source, CHAT) == WHOLE


def test_a_template_that_takes_both_gets_texts() -> None:
    assert render(BOTH, CHAT[1:2]) == "user=text hello;"


@pytest.mark.parametrize("source", [PARTS_OF_USERS, PARTS_OF_ASSISTANTS])
def test_each_role_gets_its_own_form(source: str) -> None:
    assert render(source, CHAT[:3]) == WHOLE[: WHOLE.index("critic")]


def test_parts_that_are_written_as_they_are_do_not_count_as_kept() -> None:
    assert render(AS_JSON, CHAT[1:2]) == '[{"role": "user", "content": "hello"}]'
    refuses = "{% if messages[0].content is string %}{{ raise_exception('no') }}{% endif %}"
    with pytest.raises(template_process.TemplateError, match="no"):
        render(refuses + "{{ messages[0].content }}", CHAT[1:2])


def test_a_template_that_raises_at_every_trial_gets_texts() -> None:
    assert render(SYSTEM_FIRST, CHAT) == WHOLE


def test_a_role_that_is_never_kept_goes_as_users_do() -> None:
    assert render(ONLY_USERS, CHAT[1:2]) == "user=hello;"


def test_a_template_that_keeps_nothing_is_rendered_all_the_same() -> None:
    assert render(NOTHING, CHAT) == "go on"


def test_few_trials_are_made() -> None:
    rendered = []

    def count(messages: list[dict[str, object]]) -> str:
        rendered.append(messages)
        return str(messages[0]["content"])

    typed_roles(count)
    assert len(rendered) <= 6


def test_the_process_of_a_template_finds_it_out() -> None:
    template = ChatTemplate(PARTS, bos="<s>")
    try:
        for text in ("hello", "\U0001f999", ""):
            message = Message(role="user", content=text)
            assert prompt_of(template, (message,)) == f"user={text};"
    finally:
        template.close()


def test_a_model_reads_the_text_of_a_chat(scripted: Path, start: Start) -> None:
    driver = start(scripted, chat_template=FIRST_PART.replace(";", ""))
    assert driver.read(chat("abc")).text == "defghijklmnopqrstuvwxyz"


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% for p in m.content %}{{ p.text }}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.mark.model
def test_a_real_model_answers_through_a_template_of_parts(smollm2: Path, start: Start) -> None:
    messages = (
        Message(role="system", content="Answer in one word."),
        Message(role="user", content="What is the capital of France?"),
    )
    request = ApplyTemplateRequest(messages=messages)
    own, parts = start(smollm2), start(smollm2, chat_template=CHATML)
    assert parts.ask(request) == own.ask(request)
    assert "Paris" in parts.read(chat(messages[1].content, max_tokens=20)).text
