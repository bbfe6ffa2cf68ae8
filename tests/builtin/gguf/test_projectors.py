# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from modeld.builtin.gguf.projectors import base_of, is_projector, projector_of

GEMMA = ["gemma-3-4b-it-Q4_K_M.gguf", "gemma-3-4b-it-UD-Q8_K_XL.gguf", "gemma-3-4b-it-BF16.gguf"]


def test_the_base_of_a_name_is_without_what_tells_quantisations_apart() -> None:
    for name in (*GEMMA, "gemma-3-4b-it-IQ2_XXS-00001-of-00003.gguf", "gemma-3-4b-it.f16.GGUF"):
        assert base_of(name) == "gemma-3-4b-it"
    assert base_of("qwen2.gguf") == "qwen2"


def test_a_projector_is_one_by_its_name() -> None:
    assert is_projector("mmproj-F16.gguf")
    assert is_projector("Gemma-3-MMPROJ.gguf")
    assert not is_projector("gemma-3.gguf")


def test_one_without_a_name_belongs_to_the_only_model_of_its_folder() -> None:
    generic = ["mmproj-F32.gguf", "mmproj-BF16.gguf", "mmproj-F16.gguf", "mmproj.gguf"]
    for model in GEMMA:
        assert projector_of(model, generic, GEMMA) == "mmproj-F16.gguf"
    assert projector_of(GEMMA[0], ["mmproj-model-f16.gguf"], GEMMA) == "mmproj-model-f16.gguf"
    assert projector_of(GEMMA[0], generic, [*GEMMA, "qwen2-Q4_0.gguf"]) is None
    assert projector_of(GEMMA[0], [], GEMMA) is None


def test_one_with_a_name_belongs_to_the_models_that_begin_so() -> None:
    there = ["mmproj-gemma-3-f16.gguf", "gemma-3-4b-it-mmproj-q8_0.gguf", "mmproj-qwen2-f16.gguf"]
    models = [*GEMMA, "qwen2-Q4_0.gguf", "llama-Q4_0.gguf", "gemma-3-27b-Q4_0.gguf"]
    assert projector_of(GEMMA[0], there, models) == "gemma-3-4b-it-mmproj-q8_0.gguf"
    assert projector_of("gemma-3-27b-Q4_0.gguf", there, models) == "mmproj-gemma-3-f16.gguf"
    assert projector_of("qwen2-Q4_0.gguf", there, models) == "mmproj-qwen2-f16.gguf"
    assert projector_of("llama-Q4_0.gguf", there, models) is None
