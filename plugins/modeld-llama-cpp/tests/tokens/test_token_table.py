# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
import tiny_gguf
import wide_vocabulary
from modeld_llama_cpp.tokens import token_table
from modeld_llama_cpp.tokens.token_table import StoppedError, TokenTable, read_table
from modeld_llama_cpp.tokens.vocabulary import Vocabulary


def entries(table: TokenTable) -> list[bytes]:
    """What the table has for each token."""
    ends = np.concatenate(([0], table.lengths.cumsum(dtype=np.int64))).tolist()
    assert ends[-1] == table.content.size
    return [table.content[start:end].tobytes() for start, end in pairwise(ends)]


def expected(vocabulary: Vocabulary, token: int) -> bytes:
    """The same, from the vocabulary token by token."""
    if piece := vocabulary.piece(token):
        return piece
    written = vocabulary.written(token)
    return b"\xff" + written if written else b""


def test_a_token_is_the_text_that_a_generation_shows(wide_model: int) -> None:
    vocabulary = Vocabulary(wide_model)
    table = read_table(vocabulary.address)
    assert entries(table) == [expected(vocabulary, token) for token in range(vocabulary.size)]
    assert table.ends == (wide_vocabulary.EOS,)


def test_memory_for_long_tokens_grows(wide_model: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_table(Vocabulary(wide_model).address)
    monkeypatch.setattr(token_table, "_BYTES_PER_TOKEN", 0)
    grown = read_table(Vocabulary(wide_model).address)
    assert entries(grown) == entries(whole)


def test_special_tokens_are_marked_names(tmp_path: Path) -> None:
    model = wide_vocabulary.load(tiny_gguf.write_scripted(tmp_path / "m.gguf"))
    table = read_table(Vocabulary(model).address)
    assert entries(table)[: tiny_gguf.FIRST_BYTE] == [
        b"\xff<unk>",
        b"\xff<s>",
        b"\xff</s>",
        b"\xff<|end|>",
        b"\xff<|silent|>",
    ]
    assert entries(table)[tiny_gguf.token_of(b"\n")] == b"\n"
    assert entries(table)[tiny_gguf.SPACE] == b" "
    assert set(table.ends) == {tiny_gguf.EOS, tiny_gguf.END}
    wide_vocabulary.free(model)


def test_reading_stops_when_nobody_wants_it_any_more(wide_model: int) -> None:
    with pytest.raises(StoppedError):
        read_table(Vocabulary(wide_model).address, lambda: True)


@pytest.mark.model
@pytest.mark.parametrize("model_fixture", ["smollm2", "gemma3"])
def test_all_tokens_of_a_real_vocabulary_are_read(
    model_fixture: str, request: pytest.FixtureRequest
) -> None:
    model = wide_vocabulary.load(request.getfixturevalue(model_fixture))
    vocabulary = Vocabulary(model)
    table = read_table(vocabulary.address)
    found = entries(table)
    for token in range(0, vocabulary.size, 37):
        assert found[token] == expected(vocabulary, token), token
    assert llama_cpp.llama_vocab_eos(vocabulary.address) in table.ends
    wide_vocabulary.free(model)
