# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asker import vocabulary_of
from modeld_llama_cpp.chat.template import ChatTemplate
from modeld_llama_cpp.tokens.token_tools import TokenTools
from tiny_gguf import BOS, END, EOS, VOCABULARY, token_of

from modeld import Message
from modeld.errors import InvalidRequestError, TemplateError
from modeld.requests import ApplyTemplateRequest, DetokenizeRequest, TokenizeRequest
from modeld.responses import TextResponse, TokenizeResponse


@pytest.fixture
def tools(scripted: Path) -> Iterator[TokenTools]:
    template = ChatTemplate("{% for m in messages %}{{ m.role }}: {{ m.content }};{% endfor %}")
    with vocabulary_of(scripted) as vocabulary:
        yield TokenTools(vocabulary, template)
    template.close()


def test_a_text_has_tokens_and_each_token_its_bytes(tools: TokenTools) -> None:
    assert tools.respond(TokenizeRequest(text="é ", with_pieces=True)) == TokenizeResponse(
        ids=(BOS, token_of(0xC3), token_of(0xA9), token_of(b" ")),
        pieces=(b"<s>", b"\xc3", b"\xa9", b" "),
    )


def test_nobody_gets_the_bytes_who_does_not_ask_for_them(tools: TokenTools) -> None:
    assert tools.respond(TokenizeRequest(text="a")) == TokenizeResponse(ids=(BOS, token_of(b"a")))


def test_special_tokens_are_added_and_read_where_that_is_asked_for(tools: TokenTools) -> None:
    def ids(**options: bool) -> tuple[int, ...]:
        return tools.respond(TokenizeRequest(text="</s>", **options)).ids

    plain = tuple(map(token_of, b"</s>"))
    assert ids() == (BOS, EOS)
    assert ids(add_special=False) == (EOS,)
    assert ids(parse_special=False) == (BOS, *plain)
    assert ids(add_special=False, parse_special=False) == plain


def test_an_empty_text_has_only_the_tokens_that_are_added(tools: TokenTools) -> None:
    assert tools.respond(TokenizeRequest(text="")).ids == (BOS,)
    assert tools.respond(TokenizeRequest(text="", add_special=False)) == TokenizeResponse(
        ids=(), pieces=()
    )


def test_half_a_surrogate_pair_is_refused(tools: TokenTools) -> None:
    with pytest.raises(InvalidRequestError, match="content has half of a surrogate pair"):
        tools.respond(TokenizeRequest(text="\ud800"))


def test_tokens_have_a_text_with_special_ones_written_out(tools: TokenTools) -> None:
    tokens = (BOS, token_of(b"a"), token_of(0xC3), token_of(0xA9), END)
    assert tools.respond(DetokenizeRequest(tokens=tokens)) == TextResponse(text="<s>aé<|end|>")
    assert tools.respond(DetokenizeRequest(tokens=())) == TextResponse(text="")


def test_half_a_character_is_replaced(tools: TokenTools) -> None:
    tokens = (token_of(0xC3), token_of(b"a"), token_of(0xFF))
    assert tools.respond(DetokenizeRequest(tokens=tokens)) == TextResponse(text="\ufffda\ufffd")


@pytest.mark.parametrize("token", [-1, VOCABULARY, 2**31, 2**64])
def test_a_token_that_the_model_does_not_have_is_refused(token: int, tools: TokenTools) -> None:
    with pytest.raises(
        InvalidRequestError, match=rf"tokens\[1\] is {token}; .* from 0 to {VOCABULARY - 1}$"
    ) as caught:
        tools.respond(DetokenizeRequest(tokens=(BOS, token)))
    assert caught.value.field == "tokens"


def test_a_chat_becomes_the_prompt_that_the_template_writes(tools: TokenTools) -> None:
    messages = (Message(role="user", content="a"), Message(role="assistant", content="b"))
    request = ApplyTemplateRequest(messages=messages)
    assert tools.respond(request) == TextResponse(text="user: a;assistant: b;")


def test_a_chat_without_messages_is_refused(tools: TokenTools) -> None:
    with pytest.raises(InvalidRequestError, match="there are no messages") as caught:
        tools.respond(ApplyTemplateRequest(messages=()))
    assert caught.value.field == "messages"


def test_a_model_without_a_template_says_so(scripted: Path) -> None:
    request = ApplyTemplateRequest(messages=(Message(role="user", content="a"),))
    with (
        vocabulary_of(scripted) as vocabulary,
        pytest.raises(TemplateError, match="no chat template"),
    ):
        TokenTools(vocabulary, ChatTemplate(None)).respond(request)
