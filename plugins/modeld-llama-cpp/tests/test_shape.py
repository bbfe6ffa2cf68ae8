# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.shape import Shape, cells_for, for_text, for_vectors


def text(*, trained: int = 8192, **options: object) -> Shape:
    return for_text(LlamaOptions(**options), trained)


def vectors(*, pooling: int = 0, causal: bool = True, **options: object) -> Shape:
    return for_vectors(LlamaOptions(**options), 8192, pooling=pooling, causal=causal)


def test_cells_come_in_steps_of_256() -> None:
    assert [cells_for(context) for context in (1, 256, 257, 4096)] == [256, 256, 512, 4096]


def test_there_is_a_sequence_for_every_slot() -> None:
    assert text().sequences == 4
    assert text(slots=200).sequences == 200


def test_every_sequence_and_every_guess_has_an_output() -> None:
    assert text().outputs == 4
    assert text(draft_tokens=9).outputs == 40
    assert text(draft_tokens=64).outputs == 260
    assert text(draft_tokens=64, batch=128).outputs == 128
    assert text(slots=32, draft_tokens=1, batch=512).outputs == 64


def test_what_is_computed_together_is_no_more_than_a_step() -> None:
    assert (text(ubatch=512, batch=64).batch, text(ubatch=512, batch=64).ubatch) == (64, 64)
    assert (text(ubatch=64, batch=512).batch, text(ubatch=64, batch=512).ubatch) == (512, 64)


def test_tokens_that_look_ahead_are_computed_together() -> None:
    made = vectors(causal=False, context=512)
    assert (made.batch, made.ubatch, made.outputs) == (512, 512, 512)
    made = vectors(causal=True, context=512)
    assert (made.batch, made.ubatch, made.outputs) == (512, 128, 512)
    assert vectors(causal=True, context=64).ubatch == 64
    assert vectors(pooling=4, context=512).ubatch == 512


def test_many_texts_are_computed_in_one_batch() -> None:
    assert vectors().sequences == 32
    assert vectors(slots=60).sequences == 60
    assert vectors(context=8).sequences == 8


@pytest.mark.parametrize(
    ("number", "way"), [(1, "mean"), (2, "cls"), (3, "last"), (4, "rank"), (0, "last")]
)
def test_the_header_says_how_vectors_are_pooled(number: int, way: str) -> None:
    assert vectors(pooling=number).pooling == way


def test_without_a_word_of_it_an_encoder_takes_the_mean() -> None:
    assert vectors(causal=False).pooling == "mean"


def test_the_option_says_it_first() -> None:
    made = for_vectors(LlamaOptions(pooling="cls"), 8192, pooling=1, causal=False)
    assert made.pooling == "cls"
    assert text().pooling is None
