# SPDX-License-Identifier: GPL-3.0-only
"""Which model a name means."""

from __future__ import annotations

import pytest
from modeld_ollama.models.names import Names

from modeld.errors import ModelNotFoundError
from modeld.values import ModelSpec


def spec(model: str, quant: str = "", problem: str | None = None) -> ModelSpec:
    return ModelSpec(id=model, name="n", path=f"/{model}", quant=quant, problem=problem)


NAMES = Names(
    [
        spec("Qwen3-4B-Q4_K_M.gguf", "Q4_K_M"),
        spec("Qwen3-4B-Q8_0.gguf", "Q8_0"),
        spec("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        spec("coder--Llama_F16.gguf", "F16"),
        spec("plain.gguf", "Q4_0"),
        spec("plain-Q4_0.gguf", "Q4_0"),
        spec("broken-Q4_0.gguf", "Q4_0", problem="it is broken"),
        spec("with:colon", ""),
        spec("Q5_1.gguf", "Q5_1"),
        spec("twin.gguf"),
        spec("TWIN.gguf"),
    ]
)


def test_a_model_is_found_by_an_alias_and_an_id_counts_more() -> None:
    names = Names(
        [
            ModelSpec(id="a", name="n", path="/a", aliases=("gpt", "b")),
            ModelSpec(id="b", name="n", path="/b"),
        ]
    )
    found = {name: names.find(name) for name in ("gpt", "gpt:latest", "b")}
    assert {name: spec.id for name, spec in found.items() if spec} == {
        "gpt": "a",
        "gpt:latest": "a",
        "b": "b",
    }


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Qwen3-4B-Q4_K_M.gguf", "Qwen3-4B-Q4_K_M.gguf"),
        ("Qwen3-4B-Q4_K_M.gguf:latest", "Qwen3-4B-Q4_K_M.gguf"),
        ("qwen3-4b-q4_k_m", "Qwen3-4B-Q4_K_M.gguf"),
        ("qwen3-4b:Q8_0", "Qwen3-4B-Q8_0.gguf"),
        ("QWEN3-4B:q8_0", "Qwen3-4B-Q8_0.gguf"),
        ("smollm2-135m-instruct", "SmolLM2-135M-Instruct.Q4_1.gguf"),
        ("smollm2-135m-instruct:latest", "SmolLM2-135M-Instruct.Q4_1.gguf"),
        ("smollm2-135m-instruct:q4_1", "SmolLM2-135M-Instruct.Q4_1.gguf"),
        ("smollm2-135m-instruct.q4_1:q4_1", "SmolLM2-135M-Instruct.Q4_1.gguf"),
        ("coder--llama", "coder--Llama_F16.gguf"),
        ("plain", "plain.gguf"),
        ("plain:latest", "plain.gguf"),
        ("broken-Q4_0.gguf", "broken-Q4_0.gguf"),
        ("with:colon", "with:colon"),
        ("with:colon:latest", "with:colon"),
        ("q5_1", "Q5_1.gguf"),
        ("twin.gguf", "twin.gguf"),
    ],
)
def test_a_name_means_one_model(name: str, model: str) -> None:
    found = NAMES.find(name)
    assert found is not None
    assert found.id == model


@pytest.mark.parametrize(
    "name",
    ["", "none", "qwen3-4b:q2_k", "qwen3", "broken", "broken:q4_0", ":latest", "latest", ".gguf"],
)
def test_a_name_of_no_model_means_none(name: str) -> None:
    assert NAMES.find(name) is None


@pytest.mark.parametrize("name", ["qwen3-4b", "qwen3-4b:latest", "plain:q4_0", "twin", "Twin"])
def test_a_name_of_several_models_is_refused_with_their_ids(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match=f"^model '{name}' not found: it may be '") as said:
        NAMES.find(name)
    assert said.value.field == "model"


def test_an_error_names_a_few_models_only() -> None:
    names = Names([spec(f"a-Q{index}.gguf", f"Q{index}") for index in range(9)])
    with pytest.raises(ModelNotFoundError, match=r"'a-Q0.gguf' or .* or 6 more; send one"):
        names.find("a")
