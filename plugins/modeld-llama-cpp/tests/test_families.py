# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest
from modeld_llama_cpp.families import ENCODERS, NOT_SERVED, makes_vectors
from modeld_llama_cpp.options import LlamaOptions

from modeld import ModelSpec


def made(family: str, pooling: int | None = None, **options: object) -> bool:
    metadata = {} if pooling is None else {f"{family}.pooling_type": pooling}
    spec = ModelSpec(id="m", name="m", path="m", family=family, metadata=metadata)
    return makes_vectors(spec, LlamaOptions(**options))


@pytest.mark.parametrize("family", sorted(ENCODERS))
def test_encoders_make_vectors(family: str) -> None:
    assert made(family)


def test_a_model_writes_text_unless_its_header_has_a_pooling_type() -> None:
    assert not made("qwen3")
    assert not made("qwen3", pooling=0)
    assert made("qwen3", pooling=3)


def test_the_options_say_it_first() -> None:
    assert made("llama", embeddings=True)
    assert not made("qwen3", pooling=3, embeddings=False)
    spec = ModelSpec(id="m", name="m", path="m", family="llama")
    assert makes_vectors(spec, LlamaOptions(pooling="mean"))


def test_no_family_is_both_served_and_not() -> None:
    assert not ENCODERS & NOT_SERVED
