# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import pytest
from asker import vocabulary_of
from bert_gguf import random_bert
from hypothesis import given, settings
from hypothesis import strategies as st
from modeld_llama_cpp.tokens.text_splitting import TextSplitter
from modeld_llama_cpp.tokens.vocabulary import Vocabulary


class Often(TextSplitter):
    """Splits short texts."""

    STEP_BYTES = 4


def pieces(text: bytes, *specials: bytes, strips: bool = False) -> list[bytes]:
    found = Often(dict.fromkeys(specials, strips)).pieces(text)
    assert b"".join(found) == text
    return found


def test_a_text_is_split_before_special_tokens() -> None:
    assert pieces(b"abcde<x>fg<x>hijklmno", b"<x>") == [b"abcde", b"<x>fg", b"<x>hijklmno"]


def test_a_text_without_special_tokens_stays_whole() -> None:
    assert pieces(b"abcdefghijklmnop", b"<x>") == [b"abcdefghijklmnop"]
    assert pieces(b"abcdefghijklmnop") == [b"abcdefghijklmnop"]


def test_a_short_text_stays_whole() -> None:
    assert pieces(b"<x>", b"<x>") == [b"<x>"]


def test_pieces_have_a_length_at_least() -> None:
    assert pieces(b"<x>" * 6, b"<x>") == [b"<x><x>"] * 3


def test_no_split_is_made_where_another_special_token_may_be_found_across_it() -> None:
    assert pieces(b"abcd\n\n\n\nefgh", b"\n", b"\n\n") == [b"abcd\n\n\n\nefgh"]
    assert pieces(b"abcd\n\nefghi\n", b"\n", b"\n\n") == [b"abcd", b"\n\nefghi", b"\n"]
    assert pieces(b"abcde<x>>fgh", b"<x>", b">>") == [b"abcde<x>>fgh"]
    assert pieces(b"abcde<x>fgh", b"<x>", b"e<") == [b"abcde<x>fgh"]


def test_the_longest_special_token_counts() -> None:
    assert pieces(b"abcde<x>>fgh", b"<x>", b"<x>>", b">>") == [b"abcde", b"<x>>fgh"]


def test_no_split_is_made_where_a_special_token_takes_the_space_before_it_away() -> None:
    assert pieces(b"abcd <x>efghi<x>", b"<x>", strips=True) == [b"abcd <x>efghi", b"<x>"]
    assert pieces(b"abcd <x>efghi<x>", b"<x>") == [b"abcd ", b"<x>efghi", b"<x>"]


def test_the_search_for_a_cut_is_given_up_after_a_while() -> None:
    assert len(pieces(b"\n" * 5000, b"\n", b"\n\n")) == 1


@pytest.fixture(params=["letters", "words"], scope="module")
def vocabulary(
    request: pytest.FixtureRequest, scripted: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vocabulary]:
    path = scripted
    if request.param == "words":
        path = tmp_path_factory.mktemp("words") / "bert.gguf"
        random_bert(1, gguf.PoolingType.MEAN).write(path)
    with vocabulary_of(path) as made:
        yield made


TEXT = st.sampled_from(
    ["<s>", "</s>", "<|end|>", "[CLS]", "[SEP]", "[MASK]", "<unk>", "cat", "a", " ", "é", "<", "|>"]
)


@given(st.lists(TEXT, max_size=30).map("".join), st.booleans(), st.booleans())
@settings(deadline=None)
def test_a_text_that_is_split_has_the_tokens_of_the_whole(
    vocabulary: Vocabulary, text: str, add_special: bool, parse_special: bool
) -> None:
    options = {"add_special": add_special, "parse_special": parse_special}
    whole = vocabulary.tokenize(text.encode(), **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TextSplitter, "STEP_BYTES", 4)
        assert vocabulary.tokenize(text.encode(), **options) == whole


@given(st.lists(TEXT, max_size=30).map("".join), st.booleans())
@settings(deadline=None)
def test_a_text_has_the_same_tokens_whatever_stands_around_it(
    vocabulary: Vocabulary, text: str, parse_special: bool
) -> None:
    bare, framed = (
        vocabulary._read(text.encode(), add_special=special, parse_special=parse_special)
        for special in (False, True)
    )
    before, after = vocabulary._around
    assert framed == [*before, *bare, *after]


def test_a_mebibyte_of_special_tokens_is_read_in_pieces(scripted: Path) -> None:
    text = b"<|end|>" * ((1 << 20) // 7)
    with vocabulary_of(scripted) as vocabulary:
        assert len(vocabulary._splitter.pieces(text)) == 64
        assert len(vocabulary.tokenize(text, add_special=True)) == len(text) // 7 + 1
