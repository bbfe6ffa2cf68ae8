# SPDX-License-Identifier: GPL-3.0-only
"""The rows of models and presets, as far as no model need be known for it."""

from __future__ import annotations

from typing import Any

import pytest

from modeld import ModelSpec, Settings
from modeld.errors import ConfigurationError
from modeld.settings.model_rows import (
    ServingOptions,
    layers_of,
    serving_options_of,
    shares_weights,
)

SETTINGS = Settings(
    models={
        "a": {"sampling": {"temperature": 0.5}, "aliases": ["gpt"], "pin": True, "preload": True},
        "*": {"sampling": {"temperature": 1.0, "top_k": 9}, "slots": 2},
        "b*": {"slots": 3},
    },
    presets={
        "calm": {"model": "a", "sampling": {"temperature": 0}, "aliases": ["c"]},
        "long": {"model": "a", "context": 8192},
        "lazy": {"model": "a", "max_idle_s": 5},
    },
)


def a_spec(model: str, preset_of: str = "", **options: Any) -> ModelSpec:
    return ModelSpec(
        id=model, name=model, path="/m", preset_of=preset_of, options=options, source="shelf"
    )


def test_layers_come_weakest_first_and_the_row_of_the_id_behind_globs() -> None:
    wheres = [layer.where for layer in layers_of(a_spec("a", slots=1), SETTINGS)]
    assert wheres == ["the options of source 'shelf'", "models['*']", "models['a']"]
    wheres = [layer.where for layer in layers_of(a_spec("calm", "a"), SETTINGS)]
    assert wheres == ["models['*']", "models['a']", "presets['calm']"]
    assert [layer.where for layer in layers_of(a_spec("b1"), SETTINGS)] == [
        "models['*']",
        "models['b*']",
    ]


def test_sampling_defaults_are_merged_one_by_one() -> None:
    spec = a_spec("a", sampling={"top_k": 1, "min_p": 0.1})
    assert serving_options_of(spec, SETTINGS) == ServingOptions(
        aliases=("gpt",),
        sampling={"temperature": 0.5, "top_k": 9, "min_p": 0.1},
        pin=True,
        preload=True,
    )


def test_a_preset_has_the_sampling_of_its_model_and_no_claim_of_its() -> None:
    assert serving_options_of(a_spec("calm", "a"), SETTINGS) == ServingOptions(
        aliases=("c",), sampling={"temperature": 0, "top_k": 9}
    )


def test_a_preset_shares_weights_where_its_load_would_be_the_same() -> None:
    shares = {name: shares_weights(a_spec(name, "a"), SETTINGS) for name in SETTINGS.presets}
    assert shares == {"calm": True, "long": False, "lazy": False}
    assert not shares_weights(a_spec("a"), SETTINGS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"models": {"a": {"pin": 1}}}, "models['a'].pin: expected true or false, got 1"),
        (
            {"models": {"a": {"aliases": ["b", ""]}}},
            "models['a'].aliases[1]: expected text that is not empty, got ''",
        ),
        (
            {"models": {"a*": {"aliases": ["b"]}}},
            (
                "models['a*'].aliases: an alias is for one model, and this row may be for several;"
                " name one by its id"
            ),
        ),
        (
            {"models": {"a": {"aliases": ["x"]}, "b": {"aliases": ["x"]}}},
            "models['b'].aliases: 'x' is a name of models['a'] too; keep one",
        ),
        (
            {"presets": {"p": {"model": "a"}}, "models": {"p": {"slots": 1}}},
            "models['p']: this is a preset; its options stand in presets",
        ),
        (
            {"presets": {"p": {"model": "a"}}, "models": {"a": {"aliases": ["p"]}}},
            "models['a'].aliases: 'p' is a name of presets['p'] too; keep one",
        ),
        (
            {"presets": {"p": {"modle": "a"}}},
            (
                "presets['p']: the name of its model is missing, as `model`; did you mean it by"
                " 'modle'?"
            ),
        ),
        (
            {"presets": {"p": {"model": ["a"]}}},
            "presets['p'].model: expected the name of a model, got a list",
        ),
        (
            {"presets": {"": {"model": "a"}}},
            "presets['']: a preset has a name of 1 to 512 characters",
        ),
        (
            {"presets": {"p": {"model": "q"}, "q": {"model": "a"}}},
            "presets['p'].model: 'q' is a preset; name the model that it is one of",
        ),
        (
            {"presets": {"p": {"model": "a", "preload": "yes"}}},
            "presets['p'].preload: expected true or false, got 'yes'",
        ),
        (
            {"presets": {"default": {"model": "a"}}, "default_model": "a"},
            (
                "default_model is 'a', and a preset 'default' serves requests that name no model"
                " too; keep one of them"
            ),
        ),
    ],
)
def test_a_wrong_row_names_itself(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(**settings)
    assert caught.value.message == said
