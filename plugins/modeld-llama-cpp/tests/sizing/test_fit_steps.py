# SPDX-License-Identifier: GPL-3.0-only
"""What a model can do with less of, in the order in which it costs its users least."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing import estimate, fit_steps, gpu_libraries
from modeld_llama_cpp.sizing.fit_steps import SMALLEST_CONTEXT
from modeld_llama_cpp.sizing.model_shape import ModelShape, shape_of
from msgspec.structs import replace

from modeld import ModelSpec
from modeld.values import FitStep

MIB = 1 << 20
SMOLLM2 = {
    "general.architecture": "llama",
    "llama.block_count": 30,
    "llama.embedding_length": 576,
    "llama.feed_forward_length": 1536,
    "llama.attention.head_count": 9,
    "llama.attention.head_count_kv": 3,
    "llama.vocab_size": 49152,
}


def a_shape(*, trained: int = 8192, **metadata: object) -> ModelShape:
    spec = ModelSpec(
        id="m",
        name="m",
        path="m",
        size_bytes=90 * MIB,
        weights_bytes=88 * MIB,
        context_length=trained,
        metadata=SMOLLM2 | metadata,
    )
    return shape_of(spec)


def steps(
    shape: ModelShape | None = None,
    fixed: Collection[str] = (),
    most_mb: int = 160,
    **options: object,
) -> list[FitStep]:
    wanted = LlamaOptions(**options)
    return list(fit_steps.fit_steps(shape or a_shape(), wanted, fixed, most_mb * MIB))


def names(found: list[FitStep]) -> list[str]:
    return list(dict.fromkeys(step.name for step in found))


def contexts(found: list[FitStep]) -> list[int]:
    return [step.changes["context"] for step in found if step.name == "context"]


def test_the_prefix_cache_goes_first_then_exactness_then_context() -> None:
    found = steps()
    assert names(found) == ["cache_tokens", "kv_cache_type", "context"]
    assert [step.changes for step in found[:3]] == [
        {"cache_tokens": 2048},
        {"cache_tokens": 0},
        {"cache_type_k": "q8_0", "cache_type_v": "q8_0"},
    ]
    assert found[1].gives_up == "no prefix cache in place of one of 4096"


@pytest.mark.parametrize("most_mb", [130, 145, 160, 175])
def test_the_first_context_is_the_largest_that_fits_as_estimated(most_mb: int) -> None:
    first, *others = contexts(steps(most_mb=most_mb))
    lessened = LlamaOptions(cache_tokens=0, cache_type_k="q8_0", cache_type_v="q8_0")

    def needed(context: int) -> int:
        return estimate.whole(a_shape(), replace(lessened, context=context)).total_bytes

    if first > SMALLEST_CONTEXT:
        assert needed(first) <= most_mb * MIB < needed(first + 256)
    assert others == sorted(others, reverse=True)
    assert [first, *others][-1] == SMALLEST_CONTEXT
    assert all(context % 256 == 0 for context in others)


def test_a_context_of_the_smallest_size_stays() -> None:
    assert contexts(steps(context=SMALLEST_CONTEXT)) == []
    assert contexts(steps(a_shape(trained=512))) == []
    assert contexts(steps(context=SMALLEST_CONTEXT + 1)) == [SMALLEST_CONTEXT]


@pytest.mark.parametrize(
    ("fixed", "left"),
    [
        ({"cache_tokens"}, ["kv_cache_type", "context"]),
        ({"cache_type_k"}, ["cache_tokens", "context"]),
        ({"cache_type_v"}, ["cache_tokens", "context"]),
        ({"context"}, ["cache_tokens", "kv_cache_type"]),
        ({"cache_tokens", "cache_type_k", "context"}, []),
    ],
)
def test_what_somebody_has_set_stays(fixed: set[str], left: list[str]) -> None:
    assert names(steps(fixed=fixed)) == left


@pytest.mark.parametrize(
    "options",
    [
        {"flash_attention": "off"},
        {"cache_type_k": "q4_0", "cache_type_v": "q4_0"},
        {"cache_type_k": "f32"},
    ],
)
def test_the_kv_cache_is_quantised_only_where_that_works_and_saves(options: dict[str, str]) -> None:
    assert "kv_cache_type" not in names(steps(**options))


def test_rows_that_are_no_whole_blocks_are_not_quantised() -> None:
    odd = {"llama.attention.key_length": 40, "llama.attention.value_length": 40}
    assert "kv_cache_type" not in names(steps(a_shape(**odd)))


def test_without_a_prefix_cache_there_is_nothing_to_take_of_it() -> None:
    assert "cache_tokens" not in names(steps(cache_tokens=0))
    assert names(steps(embeddings=True)) == ["kv_cache_type", "context"]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_libraries, "is_there", lambda: True)


@pytest.mark.usefixtures("gpus")
def test_layers_leave_the_gpus_last() -> None:
    found = steps()
    assert names(found)[-1] == "gpu_layers"
    kept = [step.changes["gpu_layers"] for step in found if step.name == "gpu_layers"]
    assert kept == [22, 15, 7, 0]
    assert found[-1].gives_up == "0 of 30 layers on GPUs in place of 30"
    split = steps(tensor_split=(1.0, 1.0))
    assert [step.changes["gpu_layers"] for step in split if step.name == "gpu_layers"] == [
        22,
        15,
        7,
    ]


@pytest.mark.usefixtures("gpus")
def test_layers_that_are_on_no_gpu_or_were_set_stay() -> None:
    assert "gpu_layers" not in names(steps(gpu_layers=0))
    assert "gpu_layers" not in names(steps(gpu_layers=10, fixed={"gpu_layers"}))


def test_without_gpus_no_layer_leaves_them() -> None:
    assert "gpu_layers" not in names(steps())
