# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import time

import pytest

from modeld.serving.models.model_index import LONGEST_COMPARED, ModelIndex
from tests.support.serving.sources import a_spec

MANY = ModelIndex({"x": [a_spec(f"model-{number:05}-q4_k_m.gguf") for number in range(10_000)]})
FEW = ModelIndex({"x": [a_spec(name) for name in ("Qwen2-7B.gguf", "llama-3.gguf", "tiny.txt")]})


@pytest.mark.parametrize(
    ("index", "asked", "meant"),
    [
        (FEW, "qwen2-7b", "Qwen2-7B.gguf"),
        (FEW, "QWEN2-7B.GGUF", "Qwen2-7B.gguf"),
        (FEW, "wen2-7b.gguf", "Qwen2-7B.gguf"),
        (FEW, "llama-2.gguf", "llama-3.gguf"),
        (FEW, "tiny", "tiny.txt"),
        (MANY, "model-04711-q4_k_m", "model-04711-q4_k_m.gguf"),
        (MANY, "odel-04711-q4_k_m.gguf", "model-04711-q4_k_m.gguf"),
        (MANY, "Model-04711-q4_k_mm.gguf", "model-04711-q4_k_m.gguf"),
    ],
)
def test_the_id_that_was_meant_is_named(index: ModelIndex, asked: str, meant: str) -> None:
    assert index.nearest(asked) == f"; did you mean {meant!r}?"


@pytest.mark.parametrize("asked", ["", "gpt", "x" * 5000, "model-" * 22])
def test_what_is_like_no_id_is_like_none(asked: str) -> None:
    assert FEW.nearest(asked) == ""


@pytest.mark.parametrize(
    "asked", ["model-", "m" * LONGEST_COMPARED, "model-00000" * 11, "model-04711-q4_k_m.ggu"]
)
def test_how_many_models_there_are_does_not_matter(asked: str) -> None:
    begun_s = time.thread_time()
    for _ in range(10):
        MANY.nearest(asked)
    assert (time.thread_time() - begun_s) / 10 < 0.02, "with all of them it is a quarter second"


def test_the_first_of_two_models_with_one_id_counts() -> None:
    first, second = a_spec("a", family="first"), a_spec("a")
    index = ModelIndex({"x": [first], "y": [second, a_spec("b")]})
    assert index.get("a") is first
    assert [spec.id for spec in index.specs] == ["a", "b"]
    assert index.conflicts == [("y", "its model 'a' is hidden by that of source 'x'")]
    assert (index.source_of("a"), index.source_of("b"), index.source_of("c")) == ("x", "y", None)
    assert not index.lists_the_same(ModelIndex({"x": [second, a_spec("b")]}))
    assert index.lists_the_same(ModelIndex({"x": [first], "y": [a_spec("b")]}))


def test_a_model_is_found_by_its_aliases() -> None:
    index = ModelIndex({"x": [a_spec("a", aliases=("gpt", "best")), a_spec("b")]})
    for name in ("a", "gpt", "best"):
        found = index.get(name)
        assert found is not None
        assert found.id == index.id_of(name) == "a"
        assert index.source_of(name) == "x"
    assert (index.get("c"), index.id_of("c")) == (None, "c")
    assert not index.conflicts
    assert index.nearest("bets") == "; did you mean 'best'?"


def test_an_id_counts_more_than_an_alias_and_of_two_aliases_the_first() -> None:
    index = ModelIndex(
        {
            "x": [a_spec("a", aliases=("b", "gpt"))],
            "y": [a_spec("b", aliases=("gpt", "mine"))],
        }
    )
    assert [index.id_of(name) for name in ("a", "b", "gpt", "mine")] == ["a", "b", "a", "b"]
    assert [spec.aliases for spec in index.specs] == [("gpt",), ("mine",)]
    assert index.conflicts == [
        ("x", "the alias 'b' of its model 'a' is a name of 'b'"),
        ("y", "the alias 'gpt' of its model 'b' is a name of 'a'"),
    ]


def test_an_alias_that_is_said_twice_or_is_the_id_is_no_conflict() -> None:
    index = ModelIndex({"x": [a_spec("a", aliases=("a", "b", "b"))]})
    assert index.specs[0].aliases == ("b",)
    assert not index.conflicts
