# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from typing import Any

import pytest
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing import gpu_share
from modeld_llama_cpp.sizing.model_shape import shape_of

from modeld import MemoryEstimate, ModelSpec

MADE = MemoryEstimate(weights_bytes=900, kv_bytes=100, compute_bytes=50)
FREE = {"gpu0": 300, "gpu1": 100}


@pytest.mark.parametrize(
    ("options", "on_gpus"),
    [
        ({}, {"gpu0": 375 + 7, "gpu1": 125 + 9}),
        ({"tensor_split": (1.0, 4.0)}, {"gpu0": 100 + 7, "gpu1": 400 + 9}),
        ({"split_mode": "none", "main_gpu": 1}, {"gpu1": 500 + 9, "gpu0": 7}),
    ],
)
def test_what_was_laid_out_is_divided_as_llama_cpp_divides_it(
    options: dict[str, Any], on_gpus: dict[str, int]
) -> None:
    wanted = LlamaOptions(**options)
    found = gpu_share.laid_out(MADE, (5, 10), FREE, {"gpu0": 7, "gpu1": 9}, wanted)
    assert found == on_gpus


def test_without_gpus_nothing_is_on_one() -> None:
    assert gpu_share.laid_out(MADE, (0, 1), {}, {}, LlamaOptions()) == {}


@pytest.mark.parametrize(
    ("options", "on_gpus"),
    [
        ({}, {"gpu0": 1050}),
        ({"gpu_layers": 2}, {"gpu0": 500 + 50}),
        ({"gpu_layers": 0}, {}),
        ({"tensor_split": (0.0, 1.0)}, {"gpu1": 1050}),
        ({"split_mode": "none", "main_gpu": 2}, {"gpu2": 1050}),
    ],
)
def test_before_anybody_has_asked_the_layers_tell(
    options: dict[str, Any], on_gpus: dict[str, int]
) -> None:
    spec = ModelSpec(id="m", name="m", path="/m", family="llama", metadata={"llama.block_count": 3})
    assert gpu_share.estimated(MADE, shape_of(spec), LlamaOptions(**options)) == on_gpus
