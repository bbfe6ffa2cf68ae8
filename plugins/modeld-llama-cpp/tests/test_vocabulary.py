# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Driver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modeld_llama_cpp.vocabulary import Vocabulary
from tiny_gguf import BOS, END, EOS, SILENT, VOCABULARY, token_of


@pytest.fixture
def vocabulary(scripted: Path, start: Callable[..., Driver]) -> Vocabulary:
    return start(scripted).engine._vocabulary


def test_a_text_becomes_tokens(vocabulary: Vocabulary) -> None:
    expected = [BOS, *map(token_of, "aé".encode())]
    assert vocabulary.tokenize("aé".encode(), add_special=True) == expected
    assert vocabulary.tokenize(b"", add_special=True) == [BOS]
    assert vocabulary.tokenize(b"", add_special=False) == []


def test_special_tokens_that_are_written_out_are_read(vocabulary: Vocabulary) -> None:
    assert vocabulary.tokenize(b"a</s>", add_special=False) == [token_of(b"a"), EOS]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
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


def test_the_texts_of_the_beginning_and_the_end_are_known(vocabulary: Vocabulary) -> None:
    assert (vocabulary.bos_text, vocabulary.eos_text) == ("<s>", "</s>")
    assert vocabulary.size == VOCABULARY
