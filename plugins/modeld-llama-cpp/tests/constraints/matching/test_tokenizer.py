# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest
import tiny_gguf
import wide_vocabulary
from modeld_llama_cpp.constraints.matching import tokenizer as tokenizer_
from modeld_llama_cpp.constraints.matching.matcher import Matcher
from modeld_llama_cpp.constraints.matching.tokenizer import (
    ConstraintTokenizer,
    TokenizerInPreparation,
)
from modeld_llama_cpp.native import heap
from modeld_llama_cpp.sizing.estimate import CONSTRAINT_BYTES_PER_TOKEN
from modeld_llama_cpp.tokens.token_table import TokenTable, read_table
from modeld_llama_cpp.tokens.vocabulary import Vocabulary

from modeld.errors import InternalError, InvalidRequestError


@pytest.fixture
def vocabulary(wide_model: int) -> Vocabulary:
    return Vocabulary(wide_model)


@pytest.mark.parametrize("space_prefix", [False, True])
def test_a_text_is_spelt_without_the_space_that_a_model_puts_before_all(
    space_prefix: bool, tmp_path: Path
) -> None:
    path = tiny_gguf.write_scripted(tmp_path / "m.gguf", space_prefix=space_prefix)
    model = wide_vocabulary.load(path)
    vocabulary = Vocabulary(model)
    assert len(vocabulary.tokenize(b"a", add_special=False)) == 1 + space_prefix
    spelling = tokenizer_._Spelling(vocabulary, read_table(vocabulary.address))
    assert spelling.is_exact
    for text in (b"a", b" a", b"a300", b'{"name": 1}', b"\x01a"):
        assert spelling.tokens(text) == [tiny_gguf.token_of(byte) for byte in text]
    wide_vocabulary.free(model)


def test_what_a_vocabulary_cannot_spell_is_left_to_choices(vocabulary: Vocabulary) -> None:
    """This one has no space, for which llama.cpp writes another character."""
    assert not tokenizer_._Spelling(vocabulary, read_table(vocabulary.address)).is_exact
    made = ConstraintTokenizer(vocabulary, read_table(vocabulary.address))
    matcher = Matcher.compile(made, 'start: "abc"', "lark")
    assert matcher.forced() == []
    assert matcher.allows(wide_vocabulary.token_of(b"a"))


def test_a_tokenizer_is_made_on_another_thread(vocabulary: Vocabulary) -> None:
    made = TokenizerInPreparation(vocabulary)
    assert made.made().result().ends == {wide_vocabulary.EOS}
    made.close()


def test_one_that_is_not_wanted_any_more_is_not_made(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = threading.Event(), threading.Event()
    read = tokenizer_.read_table

    def wait(*args: object) -> TokenTable:
        reached.set()
        go_on.wait(10)
        return read(*args)

    monkeypatch.setattr(tokenizer_, "read_table", wait)
    made = TokenizerInPreparation(vocabulary)
    reached.wait(10)
    closing = threading.Thread(target=made.close)
    closing.start()
    while not made._stopped.is_set():
        time.sleep(0)
    go_on.set()
    closing.join()
    with pytest.raises(InternalError, match="is being unloaded"):
        made.made().result()


def test_a_vocabulary_that_cannot_be_used_is_told_to_who_asks(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = tokenizer_.read_table

    def endless(*args: object) -> TokenTable:
        table = read(*args)
        return TokenTable(table.lengths, table.content, ())

    monkeypatch.setattr(tokenizer_, "read_table", endless)
    made = TokenizerInPreparation(vocabulary)
    with pytest.raises(InternalError, match="no token that ends"):
        made.made().result()
    made.close()


def test_it_gives_way_to_threads_that_compute(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, own = tokenizer_.read_table, os.getpriority(os.PRIO_PROCESS, 0)
    seen: list[int] = []

    def note(*args: object) -> TokenTable:
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return read(*args)

    monkeypatch.setattr(tokenizer_, "read_table", note)
    made = TokenizerInPreparation(vocabulary)
    made.made().result()
    made.close()
    assert seen == [min(own + 10, 19) if sys.platform == "linux" else own]
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_where_a_thread_may_not_give_way_the_tokenizer_is_made_all_the_same(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError("the rules of a unit")

    monkeypatch.setattr(os, "setpriority", refuse)
    preparing = TokenizerInPreparation(vocabulary)
    assert isinstance(preparing.made().result(timeout=60), ConstraintTokenizer)
    preparing.close()


def test_any_fault_is_told_to_who_asks(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> TokenTable:
        raise ZeroDivisionError

    monkeypatch.setattr(tokenizer_, "read_table", broken)
    made = TokenizerInPreparation(vocabulary)
    with pytest.raises(InternalError, match="constraints cannot be used: ZeroDivisionError"):
        made.made().result()
    made.close()


def test_a_text_that_cannot_be_tokenised_is_left_to_choices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = wide_vocabulary.load(tiny_gguf.write_scripted(tmp_path / "m.gguf"))
    vocabulary = Vocabulary(model)
    made = ConstraintTokenizer(vocabulary, read_table(vocabulary.address))
    matcher = Matcher.compile(made, 'start: "abc"', "lark")
    assert matcher.copy().forced() == [tiny_gguf.token_of(byte) for byte in b"abc"]

    def refuse(*_: object, **__: object) -> list[int]:
        raise InvalidRequestError("the text cannot be tokenised")

    monkeypatch.setattr(vocabulary, "tokenize", refuse)
    assert matcher.forced() == []
    assert matcher.allows(tiny_gguf.token_of(b"a"))
    wide_vocabulary.free(model)


@pytest.mark.model
@pytest.mark.parametrize("model_fixture", ["smollm2", "gemma3"])
def test_it_holds_no_more_than_is_counted(
    model_fixture: str, request: pytest.FixtureRequest
) -> None:
    model = wide_vocabulary.load(request.getfixturevalue(model_fixture))
    vocabulary = Vocabulary(model)
    table = read_table(vocabulary.address)
    before = heap.used_bytes()
    made = ConstraintTokenizer(vocabulary, table)
    held = heap.used_bytes() - before
    counted = CONSTRAINT_BYTES_PER_TOKEN * made.vocabulary_size
    assert 0.6 * counted < held < counted
    wide_vocabulary.free(model)


@pytest.mark.model
def test_others_get_on_while_it_is_made(gemma3: object) -> None:
    """The interpreter is never held for long, however many tokens there are."""
    model = wide_vocabulary.load(gemma3)  # type: ignore[arg-type]
    waits: list[float] = []
    made = TokenizerInPreparation(Vocabulary(model))
    while made._thread.is_alive():
        started = time.perf_counter()
        time.sleep(0)
        waits.append(time.perf_counter() - started)
    made.made().result()
    assert len(waits) > 1000, "the interpreter was free for most of it"
    made.close()
    wide_vocabulary.free(model)
