# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from modeld_llama_cpp.memory import estimate
from modeld_llama_cpp.options import LlamaOptions

from modeld import ModelSpec

SMOLLM2 = {
    "general.architecture": "llama",
    "llama.block_count": 30,
    "llama.embedding_length": 576,
    "llama.feed_forward_length": 1536,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
    "llama.vocab_size": 49152,
}


def spec(**metadata: object) -> ModelSpec:
    return ModelSpec(
        id="m", name="m", path="m", size_bytes=120, weights_bytes=100, metadata=SMOLLM2 | metadata
    )


def kv_bytes(**metadata: object) -> int:
    return estimate(spec(**metadata), LlamaOptions(context=4096)).kv_bytes


def test_the_kv_cache_is_what_llama_cpp_allocates() -> None:
    assert kv_bytes() == 90 << 20


def test_the_kv_cache_grows_with_the_context_in_steps() -> None:
    small = estimate(spec(), LlamaOptions(context=100)).kv_bytes
    assert small == 256 * 30 * 3 * 128 * 2


def test_key_and_value_lengths_of_the_header_count() -> None:
    wide = {"llama.attention.key_length": 256, "llama.attention.value_length": 128}
    assert kv_bytes(**wide) == 4096 * 30 * 3 * (256 + 128) * 2


def test_heads_that_differ_by_layer_are_added_up() -> None:
    heads = [0, 8, 0, 2]
    assert kv_bytes(**{"llama.block_count": 4, "llama.attention.head_count_kv": heads}) == (
        4096 * 10 * 128 * 2
    )


def test_a_model_without_kv_heads_in_its_header_has_as_many_as_heads() -> None:
    without = {key: value for key, value in SMOLLM2.items() if not key.endswith("kv")}
    made = ModelSpec(id="m", name="m", path="m", metadata=without)
    assert estimate(made, LlamaOptions(context=4096)).kv_bytes == 4096 * 30 * 9 * 128 * 2


def test_weights_are_the_tensors_and_without_a_table_the_file() -> None:
    assert estimate(spec(), LlamaOptions()).weights_bytes == 100
    bare = ModelSpec(id="m", name="m", path="m", size_bytes=120)
    assert estimate(bare, LlamaOptions()).weights_bytes == 120


def test_a_header_without_numbers_still_gives_an_estimate() -> None:
    bare = ModelSpec(id="m", name="m", path="m", size_bytes=120)
    made = estimate(bare, LlamaOptions())
    assert made.kv_bytes == 0
    assert made.compute_bytes > 8 << 20


def test_more_slots_and_larger_steps_need_more_to_compute() -> None:
    usual = estimate(spec(), LlamaOptions()).compute_bytes
    assert estimate(spec(), LlamaOptions(slots=16)).compute_bytes > usual
    assert estimate(spec(), LlamaOptions(ubatch=512, batch=512)).compute_bytes > 2 * usual
