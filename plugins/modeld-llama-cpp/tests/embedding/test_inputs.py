# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gguf
import pytest
from asker import vocabulary_of
from bert_gguf import CLS, SEP, WORDS, random_bert
from modeld_llama_cpp.embedding.inputs import InputReader
from modeld_llama_cpp.tokens.vocabulary import Vocabulary
from tiny_gguf import BOS, EOS, token_of

from modeld.errors import InvalidRequestError, PromptTooLongError
from modeld.requests import EmbedRequest, RerankRequest


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocabulary]:
    """An encoder's vocabulary."""
    path = tmp_path_factory.mktemp("words") / "bert.gguf"
    with vocabulary_of(random_bert(1, gguf.PoolingType.MEAN).write(path)) as vocabulary:
        yield vocabulary


@pytest.fixture(scope="module")
def letters(scripted: Path) -> Iterator[Vocabulary]:
    """A decoder's vocabulary."""
    with vocabulary_of(scripted) as vocabulary:
        yield vocabulary


def named(tokens: list[int]) -> list[str]:
    return [WORDS[token] for token in tokens]


def test_an_input_is_framed_as_the_model_was_trained(
    words: Vocabulary, letters: Vocabulary
) -> None:
    request = EmbedRequest(inputs=("a", "b"))
    assert [named(tokens) for tokens in InputReader(words, 9, None).read(request)] == [
        [CLS, "a", SEP],
        [CLS, "b", SEP],
    ]
    assert InputReader(letters, 9, None).read(request) == [
        [BOS, token_of(b"a")],
        [BOS, token_of(b"b")],
    ]


def test_special_tokens_that_are_written_out_in_an_input_are_read(letters: Vocabulary) -> None:
    (tokens,) = InputReader(letters, 9, None).read(EmbedRequest(inputs=("a</s>",)))
    assert tokens == [BOS, token_of(b"a"), EOS]


def test_tokens_are_taken_as_they_are_if_the_model_has_them(letters: Vocabulary) -> None:
    reader = InputReader(letters, 3, None)
    tokens = (token_of(b"a"), EOS)
    assert reader.read(EmbedRequest(inputs=(tokens, "b"))) == [[*tokens], [BOS, token_of(b"b")]]
    with pytest.raises(
        InvalidRequestError, match=r"input\[1\]\[0\] is 999999; the model"
    ) as refused:
        reader.read(EmbedRequest(inputs=("a", (999_999,))))
    assert refused.value.field == "input"
    with pytest.raises(PromptTooLongError, match=r"input\[0\] has 4 tokens"):
        reader.read(EmbedRequest(inputs=((0,) * 4,)))


def test_a_pair_is_joined_by_what_separates_texts(words: Vocabulary, letters: Vocabulary) -> None:
    request = RerankRequest(query="a", documents=("b", "cat"))
    assert [named(tokens) for tokens in InputReader(words, 9, None).read(request)] == [
        [CLS, "a", SEP, "b"],
        [CLS, "a", SEP, "cat"],
    ]
    assert InputReader(letters, 9, None).read(request)[0] == [
        BOS, token_of(b"a"), token_of(b"b")
    ]  # fmt: skip


def test_both_texts_of_a_pair_are_ended_where_the_model_wants_that(tmp_path: Path) -> None:
    path = random_bert(1, gguf.PoolingType.RANK).write(tmp_path / "bert.gguf", add_eos=True)
    with vocabulary_of(path) as vocabulary:
        reader = InputReader(vocabulary, 9, None)
        (tokens,) = reader.read(RerankRequest(query="a", documents=("b",)))
    assert named(tokens) == [CLS, "a", SEP, SEP, "b", SEP]


def test_special_tokens_in_a_pair_without_a_template_are_plain_text(letters: Vocabulary) -> None:
    request = RerankRequest(query="</s>", documents=("b",))
    (tokens,) = InputReader(letters, 9, None).read(request)
    assert EOS not in tokens
    assert len(tokens) == len("<s>") - 2 + len("</s>") + len("b")


def test_a_pair_is_joined_by_the_models_template(letters: Vocabulary) -> None:
    reader = InputReader(letters, 99, "<s>{query}</s>{document}!{query}")
    (tokens,) = reader.read(RerankRequest(query="a", documents=("b",)))
    assert tokens == [BOS, token_of(b"a"), EOS, *map(token_of, b"b!a")]


def test_a_query_cannot_bring_placeholders_into_the_template(letters: Vocabulary) -> None:
    reader = InputReader(letters, 99, "{query}|{document}")
    (tokens,) = reader.read(RerankRequest(query="{document}", documents=(r"\1{query}",)))
    assert tokens == [*map(token_of, b"{document}|\\1{query}")]


@pytest.mark.parametrize(
    ("asked", "message", "field"),
    [
        (EmbedRequest(inputs=("a", "b" * 9)), r"input\[1\] has 10 tokens and .* 9 at", "input"),
        (
            RerankRequest(query="aaa", documents=("b", "bbbbbb")),
            r"documents\[1\] with the query has 10 tokens and the model reads 9 at once",
            "documents",
        ),
        (
            RerankRequest(query="a" * 90_000, documents=("b",)),
            r"query has more than 16368 \(in 16384 of 90000 bytes\) tokens",
            "query",
        ),
        (
            RerankRequest(query="a", documents=("b" * 90_000,)),
            r"documents\[0\] has more than 16368 \(in 16384 of 90000 bytes\) tokens",
            "documents",
        ),
    ],
)
def test_what_is_too_long_is_named(
    asked: EmbedRequest | RerankRequest, message: str, field: str, letters: Vocabulary
) -> None:
    with pytest.raises(PromptTooLongError, match=message) as caught:
        InputReader(letters, 9, None).read(asked)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("asked", "message", "field"),
    [
        (EmbedRequest(inputs=("",)), r"input\[0\] is empty", "input"),
        (RerankRequest(query="", documents=("b",)), "query is empty", "query"),
        (RerankRequest(query="a", documents=("b", "")), r"documents\[1\] is empty", "documents"),
    ],
)
def test_what_is_empty_is_named(
    asked: EmbedRequest | RerankRequest, message: str, field: str, letters: Vocabulary
) -> None:
    with pytest.raises(InvalidRequestError, match=message) as caught:
        InputReader(letters, 9, None).read(asked)
    assert caught.value.field == field


def test_an_input_without_tokens_is_refused(letters: Vocabulary) -> None:
    reader = InputReader(letters, 9, "")
    with pytest.raises(InvalidRequestError, match=r"documents\[0\] with the query has no tokens"):
        reader.read(RerankRequest(query="a", documents=("b",)))
