# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import pytest
from asker import vocabulary_of
from bert_gguf import SEP, WORDS, random_bert
from hypothesis import given, settings
from hypothesis import strategies as st
from modeld_llama_cpp.tokens.vocabulary import Vocabulary
from tiny_gguf import BOS, END, EOS, SILENT, VOCABULARY, token_of


@pytest.fixture(scope="module")
def vocabulary(scripted: Path) -> Iterator[Vocabulary]:
    with vocabulary_of(scripted) as made:
        yield made


def test_a_text_becomes_tokens(vocabulary: Vocabulary) -> None:
    expected = [BOS, *map(token_of, "aé".encode())]
    assert vocabulary.tokenize("aé".encode(), add_special=True) == expected
    assert vocabulary.tokenize(b"", add_special=True) == [BOS]
    assert vocabulary.tokenize(b"", add_special=False) == []


def test_special_tokens_that_are_written_out_are_read(vocabulary: Vocabulary) -> None:
    assert vocabulary.tokenize(b"a</s>", add_special=False) == [token_of(b"a"), EOS]
    tokens = vocabulary.tokenize(b"a</s>", add_special=False, parse_special=False)
    assert tokens == list(map(token_of, b"a</s>"))


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="<\u2581", exclude_categories=["Cs"])))
def test_any_text_survives_the_way_there_and_back(vocabulary: Vocabulary, text: str) -> None:
    tokens = vocabulary.tokenize(text.encode(), add_special=False)
    assert b"".join(vocabulary.piece(token) or b"?" for token in tokens).decode() == text


def test_the_pieces_of_special_tokens_are_empty_and_ends_have_none(
    vocabulary: Vocabulary,
) -> None:
    assert vocabulary.piece(BOS) == b""
    assert vocabulary.piece(SILENT) == b""
    assert vocabulary.piece(EOS) is None
    assert vocabulary.piece(END) is None
    assert vocabulary.piece(token_of(b"\xc3")) == b"\xc3"


def test_special_tokens_can_be_written_out(vocabulary: Vocabulary) -> None:
    tokens = (BOS, SILENT, EOS, END, token_of(b"\xc3"))
    written = [b"<s>", b"<|silent|>", b"</s>", b"<|end|>", b"\xc3"]
    assert [vocabulary.written(token) for token in tokens * 2] == written * 2
    assert vocabulary.piece(BOS) == b""


def test_a_model_says_what_it_wants_around_and_between_texts(
    vocabulary: Vocabulary, tmp_path: Path
) -> None:
    assert (vocabulary.beginning, vocabulary.ending, vocabulary.separator) == ([BOS], [], [])
    path = random_bert(1, gguf.PoolingType.MEAN).write(tmp_path / "bert.gguf")
    with vocabulary_of(path) as words:
        assert (words.beginning, words.ending) == ([2], [])
        assert [WORDS[token] for token in words.separator] == [SEP]


def test_the_texts_of_the_beginning_and_the_end_are_known(vocabulary: Vocabulary) -> None:
    assert (vocabulary.bos_text, vocabulary.eos_text) == ("<s>", "</s>")
    assert vocabulary.size == VOCABULARY
