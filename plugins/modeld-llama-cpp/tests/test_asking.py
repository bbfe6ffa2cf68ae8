# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asker import vocabulary_of
from modeld_llama_cpp.asking import Answers
from modeld_llama_cpp.template import ChatTemplate
from tiny_gguf import BOS, END, EOS, VOCABULARY, token_of

from modeld import Message
from modeld.errors import InvalidRequestError, TemplateError
from modeld.questions import (
    ApplyTemplateQuestion,
    DetokenizeQuestion,
    Text,
    TokenizeQuestion,
    Tokens,
)


@pytest.fixture
def answers(scripted: Path) -> Iterator[Answers]:
    template = ChatTemplate("{% for m in messages %}{{ m.role }}: {{ m.content }};{% endfor %}")
    with vocabulary_of(scripted) as vocabulary:
        yield Answers(vocabulary, template)
    template.close()


def test_a_text_has_tokens_and_each_token_its_bytes(answers: Answers) -> None:
    assert answers.answer(TokenizeQuestion(text="é ", with_pieces=True)) == Tokens(
        ids=(BOS, token_of(0xC3), token_of(0xA9), token_of(b" ")),
        pieces=(b"<s>", b"\xc3", b"\xa9", b" "),
    )


def test_nobody_gets_the_bytes_who_does_not_ask_for_them(answers: Answers) -> None:
    assert answers.answer(TokenizeQuestion(text="a")) == Tokens(ids=(BOS, token_of(b"a")))


def test_special_tokens_are_added_and_read_where_that_is_asked_for(answers: Answers) -> None:
    def ids(**options: bool) -> tuple[int, ...]:
        return answers.answer(TokenizeQuestion(text="</s>", **options)).ids

    plain = tuple(map(token_of, b"</s>"))
    assert ids() == (BOS, EOS)
    assert ids(add_special=False) == (EOS,)
    assert ids(parse_special=False) == (BOS, *plain)
    assert ids(add_special=False, parse_special=False) == plain


def test_an_empty_text_has_only_the_tokens_that_are_added(answers: Answers) -> None:
    assert answers.answer(TokenizeQuestion(text="")).ids == (BOS,)
    assert answers.answer(TokenizeQuestion(text="", add_special=False)) == Tokens(ids=(), pieces=())


def test_half_a_surrogate_pair_is_refused(answers: Answers) -> None:
    with pytest.raises(InvalidRequestError, match="content has half of a surrogate pair"):
        answers.answer(TokenizeQuestion(text="\ud800"))


def test_tokens_have_a_text_with_special_ones_written_out(answers: Answers) -> None:
    tokens = (BOS, token_of(b"a"), token_of(0xC3), token_of(0xA9), END)
    assert answers.answer(DetokenizeQuestion(tokens=tokens)) == Text(text="<s>aé<|end|>")
    assert answers.answer(DetokenizeQuestion(tokens=())) == Text(text="")


def test_half_a_character_is_replaced(answers: Answers) -> None:
    tokens = (token_of(0xC3), token_of(b"a"), token_of(0xFF))
    assert answers.answer(DetokenizeQuestion(tokens=tokens)) == Text(text="\ufffda\ufffd")


@pytest.mark.parametrize("token", [-1, VOCABULARY, 2**31, 2**64])
def test_a_token_that_the_model_does_not_have_is_refused(token: int, answers: Answers) -> None:
    with pytest.raises(
        InvalidRequestError, match=rf"tokens\[1\] is {token}; .* from 0 to {VOCABULARY - 1}$"
    ) as caught:
        answers.answer(DetokenizeQuestion(tokens=(BOS, token)))
    assert caught.value.field == "tokens"


def test_a_chat_becomes_the_prompt_that_the_template_writes(answers: Answers) -> None:
    messages = (Message(role="user", content="a"), Message(role="assistant", content="b"))
    question = ApplyTemplateQuestion(messages=messages)
    assert answers.answer(question) == Text(text="user: a;assistant: b;")


def test_a_chat_without_messages_is_refused(answers: Answers) -> None:
    with pytest.raises(InvalidRequestError, match="there are no messages") as caught:
        answers.answer(ApplyTemplateQuestion(messages=()))
    assert caught.value.field == "messages"


def test_a_model_without_a_template_says_so(scripted: Path) -> None:
    question = ApplyTemplateQuestion(messages=(Message(role="user", content="a"),))
    with (
        vocabulary_of(scripted) as vocabulary,
        pytest.raises(TemplateError, match="no chat template"),
    ):
        Answers(vocabulary, ChatTemplate(None)).answer(question)
