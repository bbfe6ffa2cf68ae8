# SPDX-License-Identifier: GPL-3.0-only
"""What is explained of a model's options is what holds, and comes from where it is said to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from modeld import Settings
from modeld.errors import InvalidModelError
from modeld.plugins.host import PluginHost
from modeld.serving.models.explanation import explained
from modeld.serving.models.options import options_of
from modeld.settings.model_rows import layers_of
from tests.support.serving.fakes import FakeBackend
from tests.support.serving.sources import a_spec

ROW = st.fixed_dictionaries(
    {},
    optional={
        "slots": st.integers(1, 9),
        "max_idle_s": st.floats(0, 9),
        "sampling": st.fixed_dictionaries(
            {}, optional={"top_k": st.integers(0, 9), "min_p": st.floats(0, 1)}
        ),
    },
)


def a_host(settings: Settings) -> PluginHost:
    host = PluginHost(settings)
    host.backends = {"fake": FakeBackend()}
    return host


@given(given=ROW, one=ROW, own=ROW, two=ROW, preset=ROW)
@hypothesis_settings(max_examples=60, deadline=None)
def test_each_value_is_that_of_the_strongest_layer_that_has_one(
    given: dict[str, Any],
    one: dict[str, Any],
    own: dict[str, Any],
    two: dict[str, Any],
    preset: dict[str, Any],
) -> None:
    settings = Settings(
        models={"*": one, "ab": own, "a*": two}, presets={"p": preset | {"model": "ab"}}
    )
    for spec in (a_spec("ab", options=given), a_spec("p", preset_of="ab", options=given)):
        found = {each.option: each for each in explained(spec, settings, a_host(settings))}
        options = msgspec.to_builtins(options_of(spec, settings, FakeBackend()))
        layers = {layer.where: layer.options for layer in layers_of(spec, settings)}
        strongest_first = [given, one, two, own, preset][::-1][spec.id == "ab" :]
        for name in ("slots", "max_idle_s", "sampling.top_k", "sampling.min_p"):
            option, _, inside = name.partition(".")
            rows = [row.get(option, {}) if inside else row for row in strongest_first]
            said = [row[inside or option] for row in rows if (inside or option) in row]
            if not said:
                assert name not in found or found[name].origin in {"default", "setting max_idle_s"}
                continue
            row = layers[found[name].origin]
            assert said[0] == found[name].value == (row[option][inside] if inside else row[option])
            assert inside or options[option] == said[0]


def test_a_model_that_cannot_be_used_has_nothing_to_explain() -> None:
    settings = Settings()
    with pytest.raises(InvalidModelError, match="model 'a' cannot be used: it is empty"):
        explained(a_spec("a", problem="it is empty"), settings, a_host(settings))
