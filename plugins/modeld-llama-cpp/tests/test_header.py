# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from modeld_llama_cpp.header import LARGEST_VOCABULARY, Header

from modeld import ModelSpec


def header(family: str = "llama", *, tokenizer: str = "llama", **values: object) -> Header:
    metadata = {f"{family}.{key.replace('__', '.')}": value for key, value in values.items()}
    metadata |= {"general.architecture": family, "tokenizer.ggml.model": tokenizer}
    return Header(
        ModelSpec(
            id="m",
            name="m",
            path="m",
            size_bytes=2_000_000,
            weights_bytes=1_280_000,
            metadata=metadata,
        )
    )


def test_the_size_of_the_vocabulary_is_read() -> None:
    assert header(vocab_size=49_152).vocabulary == 49_152


def test_without_it_the_vocabulary_is_judged_by_what_it_takes_in_the_file() -> None:
    assert header().tokenizer_bytes == 720_000
    assert header().vocabulary == 30_000
    assert header(tokenizer="gpt2").vocabulary == 20_000


def test_without_anything_the_vocabulary_is_the_largest() -> None:
    bare = ModelSpec(id="m", name="m", path="m", size_bytes=120)
    assert Header(bare).tokenizer_bytes == 0
    assert Header(bare).vocabulary == LARGEST_VOCABULARY


def test_of_numbers_that_differ_by_layer_the_largest_counts() -> None:
    assert header(feed_forward_length=[64, 128, 96]).number("feed_forward_length") == 128


def test_an_encoder_looks_ahead() -> None:
    assert header().causal
    assert header(attention__causal=True).causal
    assert not header(attention__causal=False).causal
    assert not header("nomic-bert").causal


def test_a_transformer_has_attention_in_every_layer() -> None:
    plain = header(block_count=3, attention__head_count=8)
    assert plain.attention_layers() == [True] * 3
    assert plain.recurrent_layers() == [False] * 3


def test_layers_without_a_cache_of_their_own_have_none() -> None:
    shared = header(block_count=4, attention__shared_kv_layers=2)
    assert shared.attention_layers() == [True, True, False, False]
    predicting = header(block_count=4, nextn_predict_layers=1)
    assert predicting.attention_layers() == [True, True, True, False]


def test_a_recurrent_model_has_only_states() -> None:
    for family in ("mamba", "mamba2", "rwkv6", "rwkv7"):
        made = header(family, block_count=2)
        assert made.recurrent_layers() == [True, True]
        assert made.attention_layers() == [False, False]


def test_of_a_hybrid_the_layers_without_kv_heads_have_states() -> None:
    jamba = header(
        "jamba",
        block_count=4,
        attention__head_count_kv=[0, 8, 0, 0],
        feed_forward_length=64,
        ssm__conv_kernel=4,
        ssm__inner_size=128,
        ssm__state_size=16,
    )
    assert jamba.recurrent_layers() == [True, False, True, True]
    assert jamba.attention_layers() == [False, True, False, False]


def test_layers_that_are_neither_have_neither() -> None:
    nemotron = header(
        "nemotron_h",
        block_count=3,
        attention__head_count_kv=[0, 8, 0],
        feed_forward_length=[0, 0, 64],
        ssm__inner_size=128,
        ssm__state_size=16,
    )
    assert nemotron.recurrent_layers() == [True, False, False]


def test_every_fourth_layer_of_qwen3_next_has_attention() -> None:
    made = header("qwen3next", block_count=8)
    assert [not recurrent for recurrent in made.recurrent_layers()] == [
        False,
        False,
        False,
        True,
    ] * 2
    halved = header("qwen3next", block_count=4, full_attention_interval=2)
    assert halved.attention_layers() == [False, True] * 2


def test_every_layer_of_falcon_h1_has_both() -> None:
    made = header("falcon-h1", block_count=2)
    assert made.recurrent_layers() == made.attention_layers() == [True, True]


def test_states_are_as_large_as_their_kind_makes_them() -> None:
    width = {"embedding_length": 64, "attention__head_count": 4}
    assert header("rwkv6", wkv__head_size=16, **width).state_values() == 64 * (2 + 16)
    assert header("rwkv7", wkv__head_size=16, token_shift_count=1, **width).state_values() == (
        64 * (1 + 16)
    )
    assert header("lfm2", shortconv__l_cache=3, **width).state_values() == 64 * 2
    kda = header("kimi-linear", kda__head_dim=8, ssm__conv_kernel=4, **width)
    assert kda.state_values() == 4 * 8 * (3 * 3 + 8)
    mamba = header(
        "mamba2", ssm__conv_kernel=4, ssm__inner_size=128, ssm__state_size=16, ssm__group_count=2
    )
    assert mamba.state_values() == 3 * (128 + 2 * 2 * 16) + 16 * 128
    assert header(**width).state_values() == 0


def test_keys_and_values_are_as_wide_as_heads_and_lengths_make_them() -> None:
    heads = {"block_count": 2, "embedding_length": 512, "attention__head_count": 8}
    assert header(**heads).key_and_value_widths() == [(512, 512)] * 2
    grouped = header(**heads, attention__head_count_kv=2, attention__key_length=128)
    assert grouped.key_and_value_widths() == [(256, 128)] * 2
    differing = header(**heads, attention__head_count_kv=[1, 3])
    assert differing.key_and_value_widths() == [(64, 64), (192, 192)]


def test_latent_attention_keeps_no_values() -> None:
    latent = header(
        block_count=1,
        attention__head_count=16,
        attention__head_count_kv=1,
        attention__key_length=576,
        attention__value_length=512,
        attention__key_length_mla=192,
        attention__value_length_mla=128,
    )
    assert latent.key_and_value_widths() == [(576, 0)]


def test_layers_with_a_window_can_have_lengths_of_their_own() -> None:
    gemma4 = header(
        block_count=3,
        attention__head_count=8,
        attention__head_count_kv=2,
        attention__key_length=512,
        attention__value_length=512,
        attention__key_length_swa=256,
        attention__value_length_swa=128,
        attention__sliding_window_pattern=[True, False, True],
    )
    assert gemma4.key_and_value_widths() == [(512, 256), (1024, 1024), (512, 256)]
