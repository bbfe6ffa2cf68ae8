# SPDX-License-Identifier: GPL-3.0-only
"""The service checks a request's sampling by the declaration of its model's backend."""

from __future__ import annotations

import asyncio
import math
from contextlib import aclosing
from typing import Annotated

import pytest
from msgspec import Meta

from modeld import BackendSampling, GenerateRequest, Sampling
from modeld.errors import InvalidRequestError
from modeld.events import RequestRefused
from tests.support.serving.counter import Counter, SpeakerBackend, a_counter, a_shelf


class Voice(BackendSampling, frozen=True):
    pitch: Annotated[
        Annotated[float, Meta(ge=0, le=5)] | None, Meta(description="how high it sounds")
    ] = None
    speed: Annotated[float | None, Meta(description="how fast it speaks")] = None
    fillers: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...] | None, Meta(description="words between")
    ] = None

    def __post_init__(self) -> None:
        if "no" in (self.fillers or ()):
            raise ValueError("fillers: 'no' is none")
        if self.pitch == 5 and self.speed == 5:
            raise ValueError("pitch and speed cannot both be 5")


@pytest.fixture(autouse=True)
def voice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SpeakerBackend, "sampling_type", Voice)
    monkeypatch.setattr(SpeakerBackend, "unserved_sampling", ("logit_bias", "ignore_eos", "top_k"))


async def ask(counter: Counter, sampling: Sampling) -> int:
    request = GenerateRequest(model="a", prompt="one two", sampling=sampling)
    async with aclosing(counter.service.generate(request)) as chunks:
        return len([chunk async for chunk in chunks])


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0.0, seed=1),
        Sampling(own={"pitch": 0, "speed": 1e9, "fillers": ["er"]}),
        Sampling(own={"pitch": None, "fillers": ()}),
    ],
)
def test_what_the_backend_declares_is_served(sampling: Sampling) -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            assert await ask(counter, sampling) == 3

    asyncio.run(main())


@pytest.mark.parametrize(
    ("sampling", "field", "message"),
    [
        (Sampling(own={"pich": 1}), "pich", "no such sampling parameter; did you mean 'pitch'?"),
        (Sampling(own={"temperature": 1}), "temperature", "set it beside own, not in it"),
        (Sampling(own={"pitch": 5.5}), "pitch", "pitch: expected a number from 0 to 5, got 5.5"),
        (Sampling(own={"pitch": "a secret"}), "pitch", "from 0 to 5, got a str"),
        (Sampling(own={"pitch": True}), "pitch", "from 0 to 5, got a bool"),
        (Sampling(own={"pitch": math.nan}), "pitch", "from 0 to 5, got nan"),
        (Sampling(own={"speed": math.inf}), "speed", "speed: expected a number, got inf"),
        (Sampling(own={"fillers": "er"}), "fillers", "fillers: expected a list"),
        (Sampling(own={"fillers": ["er", ""]}), "fillers[1]", "fillers[1]: expected"),
        (Sampling(own={"fillers": ["no"]}), "fillers", "fillers: 'no' is none"),
        (Sampling(own={"pitch": 5, "speed": 5}), None, "pitch and speed cannot both be 5"),
        (Sampling(logit_bias=((1, None),)), "logit_bias", "does not serve"),
        (Sampling(ignore_eos=True), "ignore_eos", "does not serve"),
        (Sampling(top_k=0), "top_k", "does not serve"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_by_name_before_the_model_is_loaded(
    sampling: Sampling, field: str | None, message: str
) -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            with pytest.raises(InvalidRequestError) as caught:
                await ask(counter, sampling)
            assert caught.value.field == field
            assert message in caught.value.message
            assert "secret" not in caught.value.message
            assert counter.backend.loaded == []
            (refused,) = counter.notebook.of(RequestRefused)
            assert refused.reason == "invalid_request"

    asyncio.run(main())
