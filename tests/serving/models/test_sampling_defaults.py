# SPDX-License-Identifier: GPL-3.0-only
"""The sampling parameters that a model has for requests which do not set them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pytest
from msgspec import Meta

from modeld import BackendSampling, Sampling, Settings
from modeld.errors import ConfigurationError
from modeld.serving.models.sampling_defaults import SamplingDefaults, check_sampling
from tests.support.serving.fakes import FakeBackend
from tests.support.serving.sources import a_spec


class Voice(BackendSampling, frozen=True):
    pitch: Annotated[Annotated[float, Meta(ge=0, le=5)] | None, Meta(description="height")] = None


class Speaking(FakeBackend):
    name = "speaking"
    sampling_type: ClassVar[type[BackendSampling]] = Voice
    unserved_sampling: ClassVar[tuple[str, ...]] = ("min_p",)


def defaults(**sampling: Any) -> SamplingDefaults:
    return SamplingDefaults(Settings(models={"a": {"sampling": sampling}}))


def test_a_default_holds_where_a_request_says_nothing() -> None:
    found = defaults(temperature=0, top_k=9, pitch=2)
    asked = Sampling(top_k=0, seed=7)
    assert found.applied(asked, a_spec("a")) == Sampling(
        temperature=0.0, top_k=0, seed=7, own={"pitch": 2}
    )
    assert found.applied(Sampling(own={"pitch": 1}), a_spec("a")).own == {"pitch": 1}


def test_a_model_without_defaults_takes_requests_as_they_are() -> None:
    asked = Sampling(temperature=1.0)
    assert defaults(temperature=0.5).applied(asked, a_spec("b")) is asked


def test_a_row_takes_back_what_a_weaker_one_sets() -> None:
    rows = {"*": {"sampling": {"top_k": 3}}, "a": {"sampling": {"top_k": None}}}
    found = SamplingDefaults(Settings(models=rows))
    assert found.applied(Sampling(), a_spec("a")) == Sampling()
    assert found.applied(Sampling(), a_spec("b")) == Sampling(top_k=3)


def test_a_model_that_is_another_now_has_other_defaults() -> None:
    found = SamplingDefaults(Settings())
    for top_k in (1, 2):
        spec = a_spec("a", options={"sampling": {"top_k": top_k}})
        assert found.applied(Sampling(), spec).top_k == top_k


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            {"temprature": 1},
            (
                "temprature: backend 'speaking' has no such sampling parameter; did you"
                " mean 'temperature'?"
            ),
        ),
        ({"temperature": 9}, "temperature: expected a number from 0 to 5 or nothing (null), got 9"),
        ({"pitch": 9}, "pitch: expected a number from 0 to 5, got 9"),
        ({"min_p": 0.1}, "min_p: backend 'speaking' does not serve this parameter"),
        (
            {"seed": 1},
            (
                "seed: this parameter cannot be a default: no request could take it back, so"
                " it is for requests alone"
            ),
        ),
        (
            {"ignore_eos": True},
            (
                "ignore_eos: this parameter cannot be a default: no request could"
                " take it back, so it is for requests alone"
            ),
        ),
    ],
)
def test_a_wrong_default_names_itself(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_sampling("models['a'].sampling", table, Speaking())
    assert caught.value.message == f"models['a'].sampling.{said}"


def test_right_defaults_are_no_error() -> None:
    check_sampling("x", {"temperature": 0, "top_p": 1, "pitch": 5, "top_k": None}, Speaking())
