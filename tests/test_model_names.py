# SPDX-License-Identifier: GPL-3.0-only
"""Which model a name means."""

from __future__ import annotations

import time

import pytest

from modeld.model_names import ModelNames, said_of_several
from modeld.values import ModelSpec


def spec(model: str, quant: str = "", problem: str | None = None) -> ModelSpec:
    return ModelSpec(id=model, name="n", path=f"/{model}", quant=quant, problem=problem)


NAMES = ModelNames(
    [
        spec("Qwen3-4B-Q4_K_M.gguf", "Q4_K_M"),
        spec("Qwen3-4B-Q8_0.gguf", "Q8_0"),
        spec("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        spec("coder--Llama_F16.gguf", "F16"),
        spec("plain.gguf", "Q4_0"),
        spec("plain-Q4_0.gguf", "Q4_0"),
        spec("tiny.gguf", "Q4_0"),
        spec("broken-Q4_0.gguf", "Q4_0", problem="it is broken"),
        spec("with:colon", ""),
        spec("Q5_1.gguf", "Q5_1"),
        spec("Big-UD-Q4_K_XL-00001-of-00002.gguf", "Q4_K_M"),
        spec("org/Small-Q4_0.gguf", "Q4_0"),
        spec("twin.gguf"),
        spec("TWIN.gguf"),
    ]
)


def test_a_model_is_found_by_an_alias_and_an_id_counts_more() -> None:
    names = ModelNames(
        [
            ModelSpec(id="a", name="n", path="/a", aliases=("Gpt", "b")),
            ModelSpec(id="b", name="n", path="/b"),
        ]
    )
    found = {name: names.find(name) for name in ("Gpt", "gpt", "gpt:latest", "b")}
    assert {name: list(ids) for name, ids in found.items()} == {
        "Gpt": ["a"],
        "gpt": ["a"],
        "gpt:latest": ["a"],
        "b": ["b"],
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
        ("tiny:q4_0", "tiny.gguf"),
        ("coder--llama", "coder--Llama_F16.gguf"),
        ("plain", "plain.gguf"),
        ("plain:latest", "plain.gguf"),
        ("broken-Q4_0.gguf", "broken-Q4_0.gguf"),
        ("with:colon", "with:colon"),
        ("with:colon:latest", "with:colon"),
        ("q5_1", "Q5_1.gguf"),
        ("big", "Big-UD-Q4_K_XL-00001-of-00002.gguf"),
        ("big:ud-q4_k_xl", "Big-UD-Q4_K_XL-00001-of-00002.gguf"),
        ("big-ud-q4_k_xl", "Big-UD-Q4_K_XL-00001-of-00002.gguf"),
        ("org/small", "org/Small-Q4_0.gguf"),
        ("ORG/small:Q4_0", "org/Small-Q4_0.gguf"),
        ("twin.gguf", "twin.gguf"),
    ],
)
def test_a_name_means_one_model(name: str, model: str) -> None:
    assert list(NAMES.find(name)) == [model]


@pytest.mark.parametrize(
    "name",
    ["", "none", "qwen3-4b:q2_k", "qwen3", "broken", "broken:q4_0", ":latest", "latest", ".gguf"],
)
def test_a_name_of_no_model_means_none(name: str) -> None:
    assert not NAMES.find(name)


@pytest.mark.parametrize("name", ["qwen3-4b", "qwen3-4b:latest", "plain:q4_0", "twin", "Twin"])
def test_a_name_may_mean_several_models(name: str) -> None:
    assert len(NAMES.find(name)) == 2


def test_only_a_few_of_several_models_are_named() -> None:
    names = ModelNames([spec(f"a-Q{index}.gguf", f"Q{index}") for index in range(9)])
    said = said_of_several(names.find("a"))
    assert (
        said == "; it may be 'a-Q0.gguf' or 'a-Q1.gguf' or 'a-Q2.gguf' or 6 more: name one of them"
    )


def test_the_names_of_a_model_are_those_that_mean_it_alone() -> None:
    specs = [
        spec("Qwen3-4B-Q4_K_M.gguf", "Q4_K_M"),
        spec("Qwen3-4B-Q8_0.gguf", "Q8_0"),
        spec("broken-Q4_0.gguf", "Q4_0", problem="it is broken"),
        ModelSpec(id="brief", name="n", path="/q", preset_of="Qwen3-4B-Q8_0.gguf"),
    ]
    names = ModelNames(specs)
    assert [names.of(each) for each in specs] == [
        ("Qwen3-4B-Q4_K_M", "Qwen3-4B:Q4_K_M"),
        ("Qwen3-4B-Q8_0", "Qwen3-4B:Q8_0"),
        (),
        ("Qwen3-4B-Q8_0.gguf:brief", "Qwen3-4B-Q8_0:brief", "Qwen3-4B:brief"),
    ]
    for each in specs:
        assert all(list(names.find(name.upper())) == [each.id] for name in names.of(each))


def test_a_look_costs_the_same_among_ten_thousand_models() -> None:
    names = ModelNames([spec(f"model-{number}-Q4_0.gguf", "Q4_0") for number in range(10_000)])
    asked = ("model-4711-Q4_0.gguf", "MODEL-4711", "model-4711:q4_0", "nobody")
    begun_s = time.thread_time()
    for _ in range(100):
        for name in asked:
            names.find(name)
    assert (time.thread_time() - begun_s) / 400 < 0.0002
