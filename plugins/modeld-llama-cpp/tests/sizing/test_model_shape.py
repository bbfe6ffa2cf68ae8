# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from modeld_llama_cpp.sizing.model_shape import (
    LARGEST_VOCABULARY,
    Header,
    Layer,
    ModelShape,
    shape_of,
)
from msgspec.structs import replace

from modeld import ModelSpec

KEEPS_NOTHING = Layer()
HEADS = {"attention__head_count": 8, "embedding_length": 512}
ATTENTION = Layer(key=512, value=512)
SSM = {"ssm__conv_kernel": 4, "ssm__inner_size": 128, "ssm__state_size": 16}
STATE = Layer(state=3 * 128 + 16 * 128)


def shape(family: str = "llama", *, tokenizer: str = "llama", **values: object) -> ModelShape:
    metadata = {f"{family}.{key.replace('__', '.')}": value for key, value in values.items()}
    metadata |= {"general.architecture": family, "tokenizer.ggml.model": tokenizer}
    return shape_of(
        ModelSpec(
            id="m",
            name="m",
            path="m",
            size_bytes=2_000_000,
            weights_bytes=1_280_000,
            context_length=2048,
            metadata=metadata,
        )
    )


def header(**values: object) -> Header:
    metadata = {f"llama.{key}": value for key, value in values.items()}
    return Header(ModelSpec(id="m", name="m", path="m", family="llama", metadata=metadata))


def test_of_numbers_that_differ_by_layer_the_largest_counts() -> None:
    assert header(width=[64, 128, 96]).number("width") == 128
    assert header(width=[]).number("width", 7) == 7


def test_what_is_no_number_counts_as_not_said() -> None:
    assert header(width="64").number("width", 7) == 7
    assert header(width=["a", 3]).number("width") == 3
    assert header().number("width") == 0


def test_a_number_for_all_layers_is_that_of_each() -> None:
    assert header(block_count=3, width=64).per_layer("width") == [64, 64, 64]
    assert header(block_count=3, width=[1, 2, 3]).per_layer("width") == [1, 2, 3]
    assert header(block_count=3, width=[1, 2]).per_layer("width") == [2, 2, 2]


def test_the_family_is_the_headers_or_else_the_specs() -> None:
    said = {"general.architecture": "bert"}
    assert Header(ModelSpec(id="m", name="m", path="m", family="x", metadata=said)).family == "bert"
    assert header().family == "llama"


def test_the_tensors_are_the_weights_and_the_rest_of_the_file_the_tokenizer() -> None:
    assert (shape().weights_bytes, shape().tokenizer_bytes) == (1_280_000, 720_000)
    bare = shape_of(ModelSpec(id="m", name="m", path="m", size_bytes=120))
    assert (bare.weights_bytes, bare.tokenizer_bytes) == (120, 0)


def test_the_trained_length_is_that_of_the_spec() -> None:
    assert shape().trained_length == 2048


def test_the_size_of_the_vocabulary_is_read() -> None:
    assert shape(vocab_size=49_152).vocabulary == 49_152


def test_without_it_the_vocabulary_is_judged_by_what_it_takes_in_the_file() -> None:
    assert shape().vocabulary == 30_000
    assert shape(tokenizer="gpt2").vocabulary == 20_000


def test_without_anything_the_vocabulary_is_the_largest() -> None:
    bare = ModelSpec(id="m", name="m", path="m", size_bytes=120)
    assert shape_of(bare).vocabulary == LARGEST_VOCABULARY


def test_the_widest_feed_forward_layer_counts() -> None:
    assert shape(feed_forward_length=[64, 128, 96]).feed_forward_width == 128


def test_experts_that_work_together_are_as_wide_as_all_of_them() -> None:
    experts = {"expert_used_count": 8, "expert_feed_forward_length": 100}
    assert shape(feed_forward_length=64, **experts).feed_forward_width == 800
    shared = shape(expert_shared_feed_forward_length=50, **experts)
    assert shared.feed_forward_width == 850


def test_an_encoder_looks_ahead() -> None:
    assert shape().causal
    assert shape(attention__causal=True).causal
    assert not shape(attention__causal=False).causal
    assert not shape("nomic-bert").causal


def test_a_window_is_one_of_more_than_no_tokens() -> None:
    assert shape(attention__sliding_window=512).has_window
    assert not shape(attention__sliding_window=0).has_window
    assert not shape().has_window


def test_every_layer_of_a_transformer_keeps_keys_and_values() -> None:
    assert shape(block_count=3, **HEADS).layers == (ATTENTION,) * 3


def test_layers_without_a_cache_of_their_own_keep_nothing() -> None:
    shared = shape(block_count=4, attention__shared_kv_layers=2, **HEADS)
    assert shared.layers == (ATTENTION, ATTENTION, KEEPS_NOTHING, KEEPS_NOTHING)
    predicting = shape(block_count=4, nextn_predict_layers=1, **HEADS)
    assert predicting.layers == (*[ATTENTION] * 3, KEEPS_NOTHING)


def test_a_recurrent_model_keeps_only_states() -> None:
    for family in ("mamba", "mamba2"):
        assert shape(family, block_count=2, **HEADS, **SSM).layers == (STATE, STATE)
    for family in ("rwkv6", "rwkv7"):
        layers = shape(family, block_count=2, wkv__head_size=16, **HEADS).layers
        assert layers == (Layer(state=512 * 18),) * 2


def test_of_a_hybrid_the_layers_without_kv_heads_keep_states() -> None:
    jamba = shape(
        "jamba",
        block_count=4,
        attention__head_count_kv=[0, 8, 0, 0],
        feed_forward_length=64,
        **HEADS,
        **SSM,
    )
    assert jamba.layers == (STATE, ATTENTION, STATE, STATE)


def test_layers_that_only_feed_forward_keep_nothing() -> None:
    nemotron = shape(
        "nemotron_h",
        block_count=3,
        attention__head_count_kv=[0, 8, 0],
        feed_forward_length=[0, 0, 64],
        **HEADS,
        **SSM,
    )
    assert nemotron.layers == (STATE, ATTENTION, KEEPS_NOTHING)


def test_every_fourth_layer_of_qwen3_next_has_attention() -> None:
    made = shape("qwen3next", block_count=8, **HEADS, **SSM)
    assert made.layers == (STATE, STATE, STATE, ATTENTION) * 2
    halved = shape("qwen3next", block_count=4, full_attention_interval=2, **HEADS, **SSM)
    assert halved.layers == (STATE, ATTENTION) * 2
    broken = shape("qwen3next", block_count=4, full_attention_interval=0, **HEADS, **SSM)
    assert broken.layers == (STATE, STATE, STATE, ATTENTION)


def test_every_layer_of_falcon_h1_keeps_both() -> None:
    both = Layer(key=ATTENTION.key, value=ATTENTION.value, state=STATE.state)
    assert shape("falcon-h1", block_count=2, **HEADS, **SSM).layers == (both, both)


def test_states_are_as_large_as_their_kind_makes_them() -> None:
    def state(family: str, **values: object) -> int:
        kinds = {"block_count": 1, "embedding_length": 64, "attention__head_count": 4}
        # Without a head for keys and values a layer of any family with states is recurrent.
        layers = shape(family, attention__head_count_kv=0, **kinds | values).layers
        return layers[0].state

    assert state("rwkv6", wkv__head_size=16) == 64 * (2 + 16)
    assert state("rwkv7", wkv__head_size=16, token_shift_count=1) == 64 * (1 + 16)
    assert state("lfm2", shortconv__l_cache=3) == 64 * 2
    assert state("kimi-linear", kda__head_dim=8, ssm__conv_kernel=4) == 4 * 8 * (3 * 3 + 8)
    assert state("mamba2", ssm__group_count=2, **SSM) == 3 * (128 + 2 * 2 * 16) + 16 * 128
    assert state("llama") == 0


def test_keys_and_values_are_as_wide_as_heads_and_lengths_make_them() -> None:
    grouped = shape(block_count=2, attention__head_count_kv=2, attention__key_length=128, **HEADS)
    assert grouped.layers == (Layer(key=256, value=128),) * 2
    differing = shape(block_count=2, attention__head_count_kv=[1, 3], **HEADS)
    assert differing.layers == (Layer(key=64, value=64), Layer(key=192, value=192))


def test_latent_attention_keeps_no_values() -> None:
    latent = shape(
        block_count=1,
        attention__head_count=16,
        attention__head_count_kv=1,
        attention__key_length=576,
        attention__value_length=512,
        attention__key_length_mla=192,
        attention__value_length_mla=128,
    )
    assert latent.layers == (Layer(key=576),)


def test_layers_with_a_window_can_have_lengths_of_their_own() -> None:
    gemma4 = shape(
        block_count=3,
        attention__head_count=8,
        attention__head_count_kv=2,
        attention__key_length=512,
        attention__value_length=512,
        attention__key_length_swa=256,
        attention__value_length_swa=128,
        attention__sliding_window_pattern=[True, False, True],
    )
    windowed, full = Layer(key=512, value=256), Layer(key=1024, value=1024)
    assert gemma4.layers == (windowed, full, windowed)


def test_a_header_of_billions_of_layers_is_read_at_once() -> None:
    assert len(shape(block_count=2**32 - 1, **HEADS).layers) == 512


def test_a_header_is_worked_through_once_for_all_that_is_asked_of_one_model() -> None:
    spec = ModelSpec(id="m", name="m", path="m", size_bytes=9, metadata={"llama.block_count": 1})
    assert shape_of(spec) is shape_of(replace(spec, capabilities=("text",)))
    assert shape_of(replace(spec, size_bytes=8)).weights_bytes == 8
    assert shape_of(replace(spec, metadata={**spec.metadata})) is not shape_of(spec)
