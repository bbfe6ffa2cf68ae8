# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import psutil
import pytest
from chats import prompt_of
from modeld_llama_cpp.chat.template import ChatTemplate
from modeld_llama_cpp.chat.template_option import MAX_BYTES

from modeld import Message
from modeld.errors import TemplateError

HELLO = (Message(role="user", content="hello"),)
PLAIN = "{% for m in messages %}[{{ m.role }}] {{ m['content'] }}\n{% endfor %}"

BOMBS = {
    "nested loops": "{% for a in range(99999) %}" * 4 + "{% endfor %}" * 4,
    "a long text": "{{ 'a' * 2000000000 }}",
    "padding": "{{ 'a'.center(2000000000) }}",
    "a width": "{{ '%2000000000d' % 1 }}",
    "a format": "{{ '{:2000000000}'.format(1) }}",
    "a large number": "{{ 10 ** (10 ** 9) }}",
    "doubling": "{% set n = namespace(x='aa') %}{% for i in range(60) %}"
    "{% set n.x = n.x ~ n.x %}{% endfor %}",
    "much output": "{% for i in range(99999) %}" * 2 + "aaaa" + "{% endfor %}" * 2,
    "a large list": "{{ ([0] * 99999999) | list | length }}",
    "deep nesting": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
    "a macro without end": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
}


@pytest.fixture
def make() -> Iterator[Callable[[str | None], ChatTemplate]]:
    made: list[ChatTemplate] = []

    def make_one(source: str | None) -> ChatTemplate:
        made.append(ChatTemplate(source, bos="<s>", eos="</s>"))
        return made[-1]

    yield make_one
    for template in made:
        template.close()


def children() -> list[psutil.Process]:
    return psutil.Process().children()


def test_messages_become_a_prompt(make: Callable[..., ChatTemplate]) -> None:
    template = make(PLAIN + "{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}")
    assert prompt_of(template, HELLO) == "[user] hello\n<s></s>True"


def test_one_process_serves_all_chats(make: Callable[..., ChatTemplate]) -> None:
    template = make(PLAIN)
    texts = [
        prompt_of(template, (Message(role="user", content=text),))
        for text in ("ü", "\U0001f600", "")
    ]
    assert texts == ["[user] ü\n", "[user] \U0001f600\n", "[user] \n"]
    assert len(children()) == 1


def test_no_process_is_started_before_the_first_chat(make: Callable[..., ChatTemplate]) -> None:
    make(PLAIN)
    assert children() == []


@pytest.mark.parametrize("source", [None, ""])
def test_a_model_without_a_template_says_so(
    source: str | None, make: Callable[..., ChatTemplate]
) -> None:
    with pytest.raises(TemplateError, match="the model has no chat template"):
        prompt_of(make(source), HELLO)


def test_a_template_that_is_too_large_is_refused(make: Callable[..., ChatTemplate]) -> None:
    with pytest.raises(TemplateError, match="262145 bytes; at most 262144"):
        prompt_of(make("x" * (MAX_BYTES + 1)), HELLO)


def test_a_template_without_jinja_says_that_it_would_lose_a_chat(
    make: Callable[..., ChatTemplate],
) -> None:
    with pytest.raises(TemplateError, match=r"has no {{ }} or {% %} in it.*`chat_template`"):
        prompt_of(make("be helpful"), HELLO)
    assert children() == []


@pytest.mark.parametrize("source", ["{% for %}", "{{ 1 / 0 }}", "{{ raise_exception('no') }}"])
def test_a_template_that_fails_can_fail_again(
    source: str, make: Callable[..., ChatTemplate]
) -> None:
    template = make(source)
    for _ in range(2):
        with pytest.raises(TemplateError, match="the model's chat template failed: "):
            prompt_of(template, HELLO)


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_ends_as_an_error_and_leaves_no_process(
    bomb: str, make: Callable[..., ChatTemplate]
) -> None:
    template = make(bomb)
    with pytest.raises(TemplateError):
        prompt_of(template, HELLO)
    template.close()
    assert children() == []


def test_after_a_bomb_the_next_chat_is_served(make: Callable[..., ChatTemplate]) -> None:
    loops = BOMBS["nested loops"]
    template = make("{% if messages[0].content == 'bomb' %}" + loops + "{% endif %}ok")
    with pytest.raises(TemplateError, match="it took longer than 2 s"):
        prompt_of(template, (Message(role="user", content="bomb"),))
    assert prompt_of(template, HELLO) == "ok"


def test_a_killed_process_is_replaced(make: Callable[..., ChatTemplate]) -> None:
    template = make(PLAIN)
    prompt_of(template, HELLO)
    children()[0].kill()
    children()[0].wait()
    with pytest.raises(TemplateError, match=r"is gone|Broken pipe|reset"):
        prompt_of(template, HELLO)
    assert prompt_of(template, HELLO) == "[user] hello\n"


def test_closing_ends_a_running_chat(make: Callable[..., ChatTemplate]) -> None:
    template = make(BOMBS["nested loops"])
    failures: list[str] = []

    def render() -> None:
        try:
            prompt_of(template, HELLO)
        except TemplateError as exc:
            failures.append(exc.message)

    thread = threading.Thread(target=render)
    thread.start()
    while not children():
        pass
    template.close()
    thread.join()
    assert len(failures) == 1
    assert "took longer" not in failures[0]
    assert children() == []
    with pytest.raises(TemplateError, match="unloaded"):
        prompt_of(template, HELLO)


def test_the_process_dies_with_its_parent() -> None:
    code = (
        "import os, signal, sys\n"
        "from modeld import Message\n"
        "from modeld_llama_cpp.chat.template import ChatTemplate\n"
        "template = ChatTemplate('{{ 1 }}')\n"
        "from modeld.requests import ApplyTemplateRequest\n"
        "messages = (Message(role='user', content=''),)\n"
        "template.render(ApplyTemplateRequest(messages=messages))\n"
        "import psutil; print(psutil.Process().children()[0].pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    pid = int(parent.stdout)
    if psutil.pid_exists(pid):
        psutil.Process(pid).wait(timeout=5)
