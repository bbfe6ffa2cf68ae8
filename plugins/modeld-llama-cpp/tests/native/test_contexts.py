# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from computing import logits
from modeld_llama_cpp.native import contexts
from modeld_llama_cpp.native import model as models
from modeld_llama_cpp.native.cores import usable_cores
from modeld_llama_cpp.native.weights import parameters as weights_parameters
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing.context_size import for_text
from numpy.typing import NDArray
from tiny_gguf import write_random

from modeld import ModelSpec
from modeld.errors import LoadFailedError

SPEC = ModelSpec(id="the-id.gguf", name="m", path="m")


def chosen(path: Path, **options: object) -> NDArray[np.float32]:
    spec = ModelSpec(id="the-id.gguf", name="m", path=str(path))
    wanted = LlamaOptions(**({"threads": 1, "context": 512} | options))
    model = models.load(spec, wanted, lambda _: None)
    try:
        return logits(model)
    finally:
        model.close()


def parameters(**options: object) -> llama_cpp.llama_context_params:
    wanted = LlamaOptions(**options)
    return contexts.parameters(wanted, for_text(wanted, 4096))


@pytest.mark.parametrize(
    "options",
    [
        {"rope_freq_base": 500.0},
        {"rope_scaling": "linear", "rope_freq_scale": 0.25},
        {"rope_scaling": "yarn", "rope_freq_scale": 0.25, "yarn_orig_ctx": 128},
    ],
)
def test_rope_options_change_what_the_model_thinks(
    random: Path, options: dict[str, object]
) -> None:
    assert np.abs(chosen(random, **options) - chosen(random)).max() > 0.01


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("yarn_ext_factor", 0.0),
        ("yarn_beta_fast", 1.5),
        ("yarn_beta_slow", 31.0),
        ("yarn_orig_ctx", 16),
    ],
)
def test_every_yarn_option_counts(random: Path, option: str, value: float) -> None:
    yarn = {"rope_scaling": "yarn", "rope_freq_scale": 0.25, "yarn_orig_ctx": 128}
    assert np.abs(chosen(random, **(yarn | {option: value})) - chosen(random, **yarn)).max() > 1e-4


def test_the_attention_factor_of_yarn_counts_without_extrapolation(random: Path) -> None:
    yarn = {"rope_scaling": "yarn", "rope_freq_scale": 0.25, "yarn_ext_factor": 0.0}
    assert not np.allclose(chosen(random, **yarn), chosen(random, **yarn, yarn_attn_factor=2.0))


@pytest.mark.parametrize("kind", ["f32", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"])
def test_cache_types_round_what_is_kept(random: Path, kind: str) -> None:
    attention = {"flash_attention": "on" if "_" in kind else "off"}
    plain = chosen(random, **attention)
    for option in ("cache_type_k", "cache_type_v"):
        assert 0 < np.abs(chosen(random, **attention, **{option: kind}) - plain).max() < 3.0


def test_all_quantised_caches_differ(random: Path) -> None:
    kinds = ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
    thoughts = {chosen(random, cache_type_k=kind).tobytes() for kind in kinds}
    assert len(thoughts) == len(kinds)


def test_attention_is_the_same_with_and_without_flash(random: Path) -> None:
    on, off = chosen(random, flash_attention="on"), chosen(random, flash_attention="off")
    assert 0 < np.abs(on - off).max() < 0.2


def test_quantised_values_go_with_flash_attention_chosen_by_llama_cpp(random: Path) -> None:
    assert chosen(random, cache_type_v="q8_0", flash_attention="auto").any()


def test_threads_are_as_many_as_cores_unless_said() -> None:
    usual = parameters()
    assert (usual.n_threads, usual.n_threads_batch) == (usable_cores(), usable_cores())
    set_ = parameters(threads=3)
    assert (set_.n_threads, set_.n_threads_batch) == (3, 3)
    both = parameters(threads=3, threads_batch=5)
    assert (both.n_threads, both.n_threads_batch) == (3, 5)


def test_gpus_are_used_as_the_options_say() -> None:
    usual = weights_parameters(SPEC, LlamaOptions())
    assert (usual.n_gpu_layers, usual.main_gpu) == (-1, 0)
    assert usual.split_mode == llama_cpp.LLAMA_SPLIT_MODE_LAYER
    set_ = weights_parameters(SPEC, LlamaOptions(gpu_layers=7, main_gpu=1, split_mode="row"))
    assert (set_.n_gpu_layers, set_.main_gpu) == (7, 1)
    assert set_.split_mode == llama_cpp.LLAMA_SPLIT_MODE_ROW


def test_a_split_among_gpus_that_are_not_there_is_named() -> None:
    assert not llama_cpp.llama_supports_gpu_offload(), "the tests are for a build without GPUs"
    with pytest.raises(LoadFailedError) as caught:
        weights_parameters(SPEC, LlamaOptions(tensor_split=(1.0, 2.0)))
    assert caught.value.message == (
        "the-id.gguf: tensor_split names 2 GPUs, but this build of llama.cpp can use 0"
    )


def test_a_split_among_gpus_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_cpp, "llama_supports_gpu_offload", lambda: True)
    shares = weights_parameters(SPEC, LlamaOptions(tensor_split=(3.0,))).tensor_split
    assert shares[: llama_cpp.LLAMA_MAX_DEVICES] == [3.0] + [0.0] * (
        llama_cpp.LLAMA_MAX_DEVICES - 1
    )


def test_a_cache_type_that_does_not_fit_the_model_is_named(tmp_path: Path) -> None:
    path = write_random(tmp_path / "odd.gguf", width=80)
    with pytest.raises(LoadFailedError) as caught:
        chosen(path, cache_type_k="q4_0")
    assert caught.value.message.startswith(
        "the-id.gguf: no context of 512 tokens for 4 slots: K cache type q4_0 with block size 32"
        " does not divide"
    )
