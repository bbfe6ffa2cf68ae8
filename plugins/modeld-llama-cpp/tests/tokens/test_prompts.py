# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from asker import vocabulary_of
from driver import ask, chat
from modeld_llama_cpp.tokens import prompts
from modeld_llama_cpp.tokens.prompts import PromptReader, template_of
from tiny_gguf import BOS, EOS, token_of, write_scripted

from modeld import GenerateRequest
from modeld.errors import InvalidRequestError, PromptRequiredError, PromptTooLongError


@contextmanager
def reader_of(
    path: Path, context_length: int = 100, template: str | None = None
) -> Iterator[PromptReader]:
    with vocabulary_of(path) as vocabulary:
        chat_template = template_of(template, vocabulary)
        yield PromptReader(vocabulary, chat_template, context_length)
        chat_template.close()


def tokens_of(reader: PromptReader, request: GenerateRequest) -> list[int]:
    return reader.read(request, reader.render(request))


@pytest.fixture
def reader(scripted: Path) -> Iterator[PromptReader]:
    with reader_of(scripted) as made:
        yield made


def test_a_prompt_gets_the_beginning_that_the_model_wants(reader: PromptReader) -> None:
    assert tokens_of(reader, ask("ab")) == [BOS, token_of(b"a"), token_of(b"b")]


def test_a_prompt_that_brings_its_beginning_gets_no_second_one(reader: PromptReader) -> None:
    assert tokens_of(reader, ask("<s>a</s>")) == [BOS, token_of(b"a"), EOS]


def test_tokens_are_taken_as_they_are(reader: PromptReader) -> None:
    tokens = (token_of(b"a"), EOS)
    assert tokens_of(reader, GenerateRequest(prompt_tokens=tokens)) == [*tokens]


def test_tokens_that_the_model_does_not_have_or_that_are_too_many_are_refused(
    reader: PromptReader,
) -> None:
    with pytest.raises(InvalidRequestError, match=r"prompt_tokens\[1\] is 999999; the") as refused:
        tokens_of(reader, GenerateRequest(prompt_tokens=(0, 999_999)))
    assert refused.value.field == "prompt_tokens"
    with pytest.raises(PromptTooLongError) as too_long:
        tokens_of(reader, GenerateRequest(prompt_tokens=(0,) * 100))
    assert too_long.value.field == "prompt_tokens"


def test_an_empty_prompt_is_enough_where_the_model_adds_a_beginning(reader: PromptReader) -> None:
    assert tokens_of(reader, ask("")) == [BOS]


def test_a_prompt_without_tokens_is_refused(tmp_path: Path) -> None:
    path = write_scripted(tmp_path / "m.gguf", add_bos=False)
    with (
        reader_of(path) as reader,
        pytest.raises(PromptRequiredError, match="the prompt is empty") as refused,
    ):
        tokens_of(reader, ask(""))
    assert refused.value.field == "prompt"


def test_a_chat_of_which_the_template_makes_no_prompt_is_refused(tmp_path: Path) -> None:
    path = write_scripted(tmp_path / "m.gguf", add_bos=False)
    with (
        reader_of(path, template="{{ messages[0].content }}") as reader,
        pytest.raises(PromptRequiredError, match="the prompt is empty") as refused,
    ):
        tokens_of(reader, chat(""))
    assert refused.value.field == "messages"


@pytest.mark.parametrize("request_", [GenerateRequest(), GenerateRequest(messages=())])
def test_a_request_without_prompt_and_messages_is_refused(
    request_: GenerateRequest, reader: PromptReader
) -> None:
    with pytest.raises(PromptRequiredError, match="a prompt or messages are required"):
        tokens_of(reader, request_)


def test_half_a_surrogate_pair_is_refused(reader: PromptReader) -> None:
    with pytest.raises(InvalidRequestError, match="prompt has half of a surrogate pair at chara"):
        tokens_of(reader, ask("ab\ud800"))


def test_a_chat_becomes_the_prompt_that_the_template_writes(scripted: Path) -> None:
    template = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"
    with reader_of(scripted, template=template) as reader:
        assert tokens_of(reader, chat("a")) == [BOS, token_of(b"a"), EOS]


def test_the_longest_prompt_leaves_room_for_one_token(reader: PromptReader) -> None:
    assert len(tokens_of(reader, ask("a" * 98))) == 99
    with pytest.raises(PromptTooLongError, match="has 100 tokens and the context 100, of which"):
        tokens_of(reader, ask("a" * 99))


def test_a_huge_prompt_is_refused_before_all_of_it_is_read(
    reader: PromptReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    tokenize = reader._vocabulary.tokenize

    def count(text: bytes, *, add_special: bool) -> list[int]:
        read.append(len(text))
        return tokenize(text, add_special=add_special)

    monkeypatch.setattr(reader._vocabulary, "tokenize", count)
    with pytest.raises(PromptTooLongError, match=r"more than 16368 .* and the context 100"):
        tokens_of(reader, ask("a" * (1 << 20)))
    assert read == [prompts.PIECE_BYTES]


def test_a_long_prompt_that_fits_is_read_to_its_end(scripted: Path) -> None:
    with reader_of(scripted, 60_000) as reader:
        assert len(tokens_of(reader, ask("a" * 50_000))) == 50_001
