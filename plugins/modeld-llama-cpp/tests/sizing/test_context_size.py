# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing.context_size import (
    ContextSize,
    cells_for,
    context_tokens,
    for_model,
    for_text,
    for_vectors,
    makes_vectors,
    prefix_cache_tokens,
)
from modeld_llama_cpp.sizing.families import ENCODERS
from modeld_llama_cpp.sizing.model_shape import ModelShape, shape_of

from modeld import ModelSpec


def text(*, trained: int = 8192, **options: object) -> ContextSize:
    return for_text(LlamaOptions(**options), trained)


def vectors(*, pooling: int = 0, causal: bool = True, **options: object) -> ContextSize:
    return for_vectors(LlamaOptions(**options), 8192, pooling=pooling, causal=causal)


def shape(family: str, pooling: int | None = None) -> ModelShape:
    metadata = {} if pooling is None else {f"{family}.pooling_type": pooling}
    return shape_of(ModelSpec(id="m", name="m", path="m", family=family, metadata=metadata))


def test_the_context_is_the_trained_length_up_to_4096() -> None:
    assert context_tokens(LlamaOptions(), 2048) == 2048
    assert context_tokens(LlamaOptions(), 131_072) == 4096
    assert context_tokens(LlamaOptions(), None) == 4096
    assert context_tokens(LlamaOptions(context=9000), 2048) == 9000


def test_the_prefix_cache_is_as_large_as_the_context_unless_that_is_set() -> None:
    assert prefix_cache_tokens(LlamaOptions(), 4096) == 4096
    assert prefix_cache_tokens(LlamaOptions(cache_tokens=0), 4096) == 0


@pytest.mark.parametrize("family", sorted(ENCODERS))
def test_encoders_make_vectors(family: str) -> None:
    assert makes_vectors(shape(family), LlamaOptions())


def test_a_model_writes_text_unless_its_header_has_a_pooling_type() -> None:
    assert not makes_vectors(shape("qwen3"), LlamaOptions())
    assert not makes_vectors(shape("qwen3", pooling=0), LlamaOptions())
    assert makes_vectors(shape("qwen3", pooling=3), LlamaOptions())


def test_the_options_say_first_what_a_model_makes() -> None:
    assert makes_vectors(shape("llama"), LlamaOptions(embeddings=True))
    assert not makes_vectors(shape("qwen3", pooling=3), LlamaOptions(embeddings=False))
    assert makes_vectors(shape("llama"), LlamaOptions(pooling="mean"))


def test_a_context_is_made_for_what_the_model_makes() -> None:
    assert for_model(shape("llama"), LlamaOptions()) == for_text(LlamaOptions(), None)
    assert for_model(shape("bert", pooling=2), LlamaOptions()) == for_vectors(
        LlamaOptions(), None, pooling=2, causal=False
    )


def test_cells_come_in_steps_of_256() -> None:
    assert [cells_for(context) for context in (1, 256, 257, 4096)] == [256, 256, 512, 4096]


def test_there_is_a_sequence_for_every_slot() -> None:
    assert text().sequences == 4
    assert text(slots=200).sequences == 200


def test_every_sequence_and_the_draft_tokens_of_a_step_have_outputs() -> None:
    assert text(draft_tokens=0).outputs == 4
    assert text().outputs == 4
    assert text(draft_tokens=8).outputs == 4 + 16
    assert text(slots=1, draft_tokens=9).outputs == 1 + 9
    assert text(draft_tokens=64).outputs == 4 + 64
    assert text(draft_tokens=64, batch=30).outputs == 30
    assert text(slots=32, draft_tokens=1, batch=512).outputs == 32 + 16


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


def test_the_option_says_first_how_vectors_are_pooled() -> None:
    made = for_vectors(LlamaOptions(pooling="cls"), 8192, pooling=1, causal=False)
    assert made.pooling == "cls"
    assert text().pooling is None
