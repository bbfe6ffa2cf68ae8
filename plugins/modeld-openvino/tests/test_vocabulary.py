# SPDX-License-Identifier: GPL-3.0-only
"""What is made of vocabularies that no model here has."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from modeld_openvino.vocabulary import Vocabulary

from modeld.errors import InvalidRequestError

PIECES = {b"<s>": 0, "\u2581th".encode(): 1, b"<0x0A>": 2, b"e": 3, "\u2581".encode(): 4}


class Encoded:
    def __init__(self, count: int) -> None:
        self.input_ids = SimpleNamespace(data=np.zeros((1, count), np.int64))


class SentencePiece:
    """Decodes as OpenVINO's tokenizers for SentencePiece do, and cuts off what is too long."""

    def encode(self, text: str, *, add_special_tokens: bool) -> Encoded:
        if text == "broken":
            raise RuntimeError("unordered_map::at")
        return Encoded(min(len(text), 500))

    def get_vocab(self) -> dict[bytes, int]:
        return PIECES

    def decode(self, tokens: Sequence[Sequence[int]], *, skip_special_tokens: bool) -> list[str]:
        texts = ["" if skip_special_tokens else "<s>", "th", "\n", "e", " "]
        return [texts[token] for (token,) in tokens]


@pytest.mark.parametrize(
    ("token", "piece"), [(0, b"<s>"), (1, b" th"), (2, b"\n"), (3, b"e"), (4, b" ")]
)
def test_the_pieces_of_a_vocabulary_of_sentencepiece_are_the_texts(
    token: int, piece: bytes
) -> None:
    assert Vocabulary(SentencePiece()).piece(token) == piece


def test_special_tokens_and_such_as_the_tokenizer_lacks_have_no_text() -> None:
    vocabulary = Vocabulary(SentencePiece())
    assert [vocabulary.text_bytes(token) for token in (0, 1, 99)] == [b"", b" th", b""]


def test_it_is_known_after_how_many_tokens_the_tokenizer_cuts_a_text_off() -> None:
    assert Vocabulary(SentencePiece()).limit == 500


def test_what_the_tokenizer_cannot_read_is_the_requests_error() -> None:
    with pytest.raises(InvalidRequestError, match="tokenizer cannot read the text"):
        Vocabulary(SentencePiece()).tokens("broken", add_special=True)


def test_a_text_is_torn_within_every_name_of_a_special_token() -> None:
    vocabulary = Vocabulary(SentencePiece())
    pieces = vocabulary.torn("a<s><s> <<s>b")
    assert "".join(pieces) == "a<s><s> <<s>b"
    assert not any("<s>" in piece for piece in pieces)
