# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from pathlib import Path

import pytest
from modeld_llama_cpp.options import LlamaOptions, LoraAdapter
from modeld_llama_cpp.sizing import estimate as estimates
from modeld_llama_cpp.sizing.estimate import BLOCK_BYTES
from modeld_llama_cpp.sizing.model_shape import shape_of

from modeld import MemoryEstimate, ModelSpec

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


def estimate(made: ModelSpec, options: LlamaOptions) -> MemoryEstimate:
    return estimates.estimate(shape_of(made), options)


def prefix_cache_bytes(made: ModelSpec, **options: object) -> int:
    return estimates.prefix_cache_bytes(shape_of(made), LlamaOptions(**options))


def kv_bytes(metadata: dict[str, object] | None = None, **options: object) -> int:
    wanted = LlamaOptions(**({"context": 4096} | options))
    return estimate(spec(**(metadata or {})), wanted).kv_bytes


def compute_bytes(**options: object) -> int:
    return estimate(spec(), LlamaOptions(**options)).compute_bytes


def test_the_kv_cache_is_what_llama_cpp_allocates() -> None:
    assert kv_bytes() == 90 << 20


def test_the_kv_cache_grows_with_the_context_in_steps() -> None:
    assert kv_bytes(context=100) == 256 * 30 * 3 * 128 * 2


def test_key_and_value_lengths_of_the_header_count() -> None:
    wide = {"llama.attention.key_length": 256, "llama.attention.value_length": 128}
    assert kv_bytes(wide) == 4096 * 30 * 3 * (256 + 128) * 2


def test_heads_that_differ_by_layer_are_added_up() -> None:
    heads = [0, 8, 0, 2]
    metadata = {"llama.block_count": 4, "llama.attention.head_count_kv": heads}
    assert kv_bytes(metadata) == 4096 * 10 * 128 * 2


def test_a_model_without_kv_heads_in_its_header_has_as_many_as_heads() -> None:
    without = {key: value for key, value in SMOLLM2.items() if not key.endswith("kv")}
    made = ModelSpec(id="m", name="m", path="m", metadata=without)
    assert estimate(made, LlamaOptions(context=4096)).kv_bytes == 4096 * 30 * 9 * 128 * 2


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        ("f32", 32),
        ("bf16", 16),
        ("q8_0", 8.5),
        ("q5_1", 6),
        ("q5_0", 5.5),
        ("q4_1", 5),
        ("q4_0", 4.5),
        ("iq4_nl", 4.5),
    ],
)
def test_the_kv_cache_takes_what_its_types_take(kind: str, bits: float) -> None:
    values = 4096 * 30 * 3 * 64
    assert kv_bytes(cache_type_k=kind) == values * (bits + 16) / 8
    assert kv_bytes(cache_type_v=kind) == values * (16 + bits) / 8


def test_every_type_of_the_options_has_a_size() -> None:
    for kind in BLOCK_BYTES:
        LlamaOptions(cache_type_k=kind)  # type: ignore[arg-type]
    assert len(BLOCK_BYTES) == 9


def test_an_encoder_keeps_no_tokens() -> None:
    encoder = {"general.architecture": "bert", "bert.block_count": 12, "bert.vocab_size": 30_522}
    made = ModelSpec(id="m", name="m", path="m", family="bert", metadata=encoder)
    assert estimate(made, LlamaOptions()).kv_bytes == 0


def test_a_recurrent_model_keeps_a_state_for_every_slot() -> None:
    mamba = {
        "general.architecture": "mamba",
        "mamba.block_count": 24,
        "mamba.embedding_length": 768,
        "mamba.ssm.conv_kernel": 4,
        "mamba.ssm.inner_size": 1536,
        "mamba.ssm.state_size": 16,
    }
    made = ModelSpec(id="m", name="m", path="m", family="mamba", metadata=mamba)
    for context in (512, 4096):
        options = LlamaOptions(slots=3, context=context)
        assert estimate(made, options).kv_bytes == 3 * 24 * (3 * 1536 + 16 * 1536) * 4


def test_the_prefix_cache_holds_as_many_tokens_as_the_context_unless_that_is_set() -> None:
    a_token = 30 * 3 * 128 * 2
    assert prefix_cache_bytes(spec(), context=1000) == 1000 * a_token
    assert prefix_cache_bytes(spec(), context=1000, cache_tokens=50) == 50 * a_token
    assert prefix_cache_bytes(spec(), cache_tokens=0) == 0


def test_a_model_of_vectors_has_no_prefix_cache() -> None:
    assert prefix_cache_bytes(spec(), embeddings=True) == 0
    encoder = ModelSpec(id="m", name="m", path="m", family="bert")
    assert prefix_cache_bytes(encoder, embeddings=False) == 0


def test_weights_are_the_tensors_and_without_a_table_the_file() -> None:
    assert estimate(spec(), LlamaOptions()).weights_bytes == 100
    bare = ModelSpec(id="m", name="m", path="m", size_bytes=120)
    assert estimate(bare, LlamaOptions()).weights_bytes == 120


def test_adapters_count_as_weights(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(bytes(1000))
    options = LlamaOptions(lora=(LoraAdapter(path=str(path)), LoraAdapter(path=str(path))))
    assert estimate(spec(), options).weights_bytes == 2100
    path.unlink()
    assert estimate(spec(), options).weights_bytes == 100


def test_a_header_without_numbers_still_gives_an_estimate() -> None:
    bare = ModelSpec(id="m", name="m", path="m", size_bytes=120)
    made = estimate(bare, LlamaOptions())
    assert made.kv_bytes == 0
    assert made.compute_bytes > 8 << 20


def test_more_slots_and_larger_steps_need_more_to_compute() -> None:
    assert compute_bytes(slots=16) > compute_bytes()
    assert compute_bytes() > 2 * compute_bytes(ubatch=128)
    few, many = (compute_bytes(draft_tokens=most, ubatch=128) for most in (0, 64))
    assert many > few


def test_without_flash_attention_the_scores_are_counted() -> None:
    scores = 9 * 4096 * 128 * 4
    assert compute_bytes(flash_attention="off") - compute_bytes() > 0.8 * scores


def test_experts_that_work_together_are_counted() -> None:
    experts = {
        "llama.expert_used_count": 8,
        "llama.expert_feed_forward_length": 1536,
        "llama.expert_shared_feed_forward_length": 512,
    }
    more = estimate(spec(**experts), LlamaOptions()).compute_bytes
    assert more - compute_bytes() == 512 * 8 * (7 * 1536 + 512)


def test_a_tokenizer_takes_several_times_its_size_in_the_file() -> None:
    large = ModelSpec(
        id="m", name="m", path="m", size_bytes=1_000_100, weights_bytes=100, metadata=SMOLLM2
    )
    more = estimate(large, LlamaOptions()).compute_bytes
    assert more - compute_bytes() == 7 * (1_000_000 - 20)


def test_vectors_of_a_model_that_looks_ahead_need_all_tokens_at_once() -> None:
    usual = estimate(spec(), LlamaOptions(embeddings=True, context=4096)).compute_bytes
    ahead = estimate(
        spec(**{"llama.attention.causal": False}), LlamaOptions(embeddings=True, context=4096)
    ).compute_bytes
    assert ahead > 20 * usual
