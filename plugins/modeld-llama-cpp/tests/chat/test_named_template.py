# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from chats import prompt_of, talk
from driver import Driver, ask, chat
from modeld_llama_cpp.chat import named_template
from modeld_llama_cpp.chat.template import ChatTemplate
from modeld_llama_cpp.chat.template_option import NAMES
from modeld_llama_cpp.native import model as models
from modeld_llama_cpp.options import LlamaOptions
from tiny_gguf import write_scripted

from modeld import Failed, Message, ModelSpec
from modeld.errors import LoadFailedError, TemplateError
from modeld.requests import ApplyTemplateRequest

Start = Callable[..., Driver]


CHAT = talk("system: be brief", "user:  hello ", "assistant: yes", "user: why?")


def test_the_names_are_those_of_llama_cpp() -> None:
    assert set(NAMES) == named_template.names()
    assert list(NAMES) == sorted(NAMES)


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        (
            "chatml",
            (
                "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\n hello <|im_end|>\n"
                "<|im_start|>assistant\nyes<|im_end|>\n<|im_start|>user\nwhy?<|im_end|>\n"
                "<|im_start|>assistant\n"
            ),
        ),
        (
            "gemma",
            (
                "<start_of_turn>user\nbe brief\n\nhello<end_of_turn>\n"
                "<start_of_turn>model\nyes<end_of_turn>\n<start_of_turn>user\nwhy?<end_of_turn>\n"
                "<start_of_turn>model\n"
            ),
        ),
        (
            "llama2-sys",
            "[INST] <<SYS>>\nbe brief\n<</SYS>>\n\n hello  [/INST]yes</s>[INST] why? [/INST]",
        ),
    ],
)
def test_a_chat_is_rendered_as_llama_cpp_does_it(name: str, prompt: str) -> None:
    assert prompt_of(ChatTemplate(name), CHAT) == prompt


@pytest.mark.parametrize("name", NAMES)
def test_every_template_keeps_what_users_and_assistants_say(name: str) -> None:
    said = ("\u00fc\U0001f999", "sure, why not", "thanks")
    messages = zip(("user", "assistant", "user"), said, strict=True)
    prompt = prompt_of(ChatTemplate(name), talk(*(": ".join(each) for each in messages)))
    found = [prompt.index(each) for each in said]
    assert found == sorted(found)


def test_a_long_chat_is_rendered_whole() -> None:
    said = "a" * 300_000 + "z"
    prompt = prompt_of(ChatTemplate("chatml"), talk(*[f"user: {said}"] * 3))
    assert prompt.count(said) == 3


def test_a_chat_of_many_short_messages_is_rendered_whole() -> None:
    prompt = prompt_of(ChatTemplate("solar-open"), talk(*["user: x"] * 1024))
    assert prompt.count("<|begin|>user<|content|>x<|end|>") == 1024
    assert prompt.endswith("<|begin|>assistant")


@pytest.mark.parametrize(
    ("name", "messages", "index"),
    [
        ("yandex", talk("system: a", "user: a"), 0),
        ("vicuna", talk("user: a", "assistant: a", "critic: a"), 2),
        ("gemma", talk("user: a", "system: a"), 1),
        ("hunyuan-dense", talk("user: a", "system: a"), 1),
    ],
)
def test_a_message_that_the_template_leaves_out_is_an_error(
    name: str, messages: tuple[Message, ...], index: int
) -> None:
    with pytest.raises(TemplateError) as caught:
        prompt_of(ChatTemplate(name), messages)
    assert caught.value.message == (
        f"the chat template {name!r} leaves out messages[{index}], which has the role"
        f" {messages[index].role!r}"
    )


@pytest.mark.parametrize("said", ["user: a\0b", "us\0er: a"])
def test_a_text_that_would_be_cut_is_an_error(said: str) -> None:
    with pytest.raises(TemplateError, match=r"messages\[1\] has a NUL character"):
        prompt_of(ChatTemplate("chatml"), talk("user: a", said))


def test_a_name_that_this_build_does_not_have_is_an_error() -> None:
    with pytest.raises(
        TemplateError, match=r"this build of llama\.cpp has no chat template 'none'"
    ):
        named_template.render("none", [{"role": "user", "content": ""}])


def test_a_model_is_not_loaded_for_a_name_that_this_build_does_not_have(
    scripted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_template, "names", lambda: frozenset({"llama2"}))
    spec = ModelSpec(id="the-id.gguf", name="m", path=str(scripted))
    with pytest.raises(
        LoadFailedError, match=r"the-id\.gguf: this build .* chat_template 'chatml'"
    ):
        models.load(spec, LlamaOptions(chat_template="chatml"), lambda _: None)


def test_a_name_may_be_set_for_a_model_or_stand_in_its_file(tmp_path: Path, start: Start) -> None:
    named = write_scripted(tmp_path / "named.gguf", chat_template="rwkv-world")
    prompts = [
        driver.ask(ApplyTemplateRequest(messages=CHAT[:2])).text
        for driver in (start(named), start(named, chat_template="chatml"))
    ]
    assert prompts[0] == "System: be brief\n\nUser: hello\n\nAssistant:"
    assert prompts[1].startswith("<|im_start|>system\nbe brief<|im_end|>")


def test_half_a_surrogate_pair_in_a_chat_is_refused(scripted: Path, start: Start) -> None:
    driver = start(scripted, chat_template="chatml")
    end = driver.read(chat("a\ud800")).end
    assert isinstance(end, Failed)
    assert (end.code, end.field) == ("invalid_request", "messages")


@pytest.mark.model
def test_a_real_model_is_asked_through_a_named_template(smollm2: Path, start: Start) -> None:
    driver = start(smollm2, chat_template="chatml")
    asked = chat("What is the capital of France? One word.", max_tokens=30)
    prompt = driver.ask(ApplyTemplateRequest(messages=asked.messages)).text
    assert prompt.startswith("<|im_start|>user\nWhat is the capital of France?")
    generation = driver.read(asked)
    assert "Paris" in generation.text
    assert generation.text == driver.read(ask(prompt, max_tokens=30)).text
