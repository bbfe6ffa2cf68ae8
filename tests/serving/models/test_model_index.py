# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import time

import pytest

from modeld import Settings
from modeld.serving.models.model_index import ModelIndex
from modeld.serving.models.nearest import LONGEST_COMPARED
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
    found = index.get("a")
    assert found is not None
    assert found.family == "first"
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


def test_a_name_that_may_mean_several_models_is_none_and_they_are_named() -> None:
    index = ModelIndex({"x": [a_spec("m-Q4_0.gguf"), a_spec("m-Q8_0.gguf")]})
    assert index.get("m") is None
    assert index.nearest("m") == "; it may be 'm-Q4_0.gguf' or 'm-Q8_0.gguf': name one of them"
    assert index.id_of("M:Q8_0") == "m-Q8_0.gguf"
    assert index.source_of("m:q8_0") == "x"


def test_aliases_of_the_settings_count_more_than_those_of_sources() -> None:
    settings = Settings(models={"b": {"aliases": ["gpt"]}, "gone": {"aliases": ["old"]}})
    index = ModelIndex({"x": [a_spec("a", aliases=("gpt",)), a_spec("b")]}, settings)
    assert index.id_of("gpt") == "b"
    assert [spec.aliases for spec in index.specs] == [(), ("gpt",)]
    assert index.conflicts == [("x", "the alias 'gpt' of its model 'a' is a name of 'b'")]


PRESETS = Settings(
    models={"a.gguf": {"aliases": ["gpt"]}},
    presets={
        "brief": {"model": "gpt", "aliases": ["b"]},
        "lost": {"model": "aa.gguf"},
        "hides": {"model": "A"},
        "hidden": {"model": "HIDES"},
        "either": {"model": "m"},
    },
)


def test_a_preset_is_a_model_beside_its_own() -> None:
    lists = {
        "x": [a_spec("a.gguf", family="llama"), a_spec("hides"), a_spec("m-Q4_0"), a_spec("m-Q8_0")]
    }
    index = ModelIndex(lists, PRESETS)
    brief = index.listed("brief")
    assert brief is not None
    assert (brief.preset_of, brief.family, brief.path) == ("a.gguf", "llama", "/models/a.gguf")
    assert [index.id_of(name) for name in ("b", "A:BRIEF", "a.gguf:brief")] == ["brief"] * 3
    assert index.usable == ("a.gguf", "m-Q4_0", "m-Q8_0")
    assert index.source_of("brief") == "x"
    problems = {spec.id: spec.problem for spec in index.specs if spec.problem}
    assert problems == {
        "lost": "presets['lost'].model: there is no model 'aa.gguf'; did you mean 'a.gguf'?",
        "hidden": "presets['hidden'].model: 'HIDES' has the name of a preset, which hides it",
        "either": "presets['either'].model: there is no model 'm'; it may be 'm-Q4_0' or 'm-Q8_0':"
        " name one of them",
    }
    assert index.conflicts == [("x", "its model 'hides' is hidden by that of source 'presets'")]
    assert index.lists_the_same(ModelIndex(lists, PRESETS))


def test_what_a_source_says_of_names_and_presets_is_not_used() -> None:
    index = ModelIndex({"x": [a_spec("a"), a_spec("b.gguf", names=("c",), preset_of="a")]})
    assert [spec.preset_of for spec in index.specs] == ["", ""]
    assert [spec.names for spec in index.specs] == [(), ("b",)]
    assert index.usable == ("a", "b.gguf")
