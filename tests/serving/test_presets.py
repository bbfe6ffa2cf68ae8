# SPDX-License-Identifier: GPL-3.0-only
"""Presets, aliases and shorter names, as requests meet them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from modeld import Chunk, GenerateRequest, Sampling
from modeld.errors import ConfigurationError, InvalidModelError, ModelNotFoundError
from tests.support.serving.counter import Speaker, a_counter
from tests.support.serving.sources import Shelf, a_spec

ROWS = {"a-Q4_0.gguf": {"sampling": {"temperature": 0.5}, "aliases": ["gpt"]}}
PRESETS = {
    "calm": {"model": "a", "sampling": {"temperature": 0, "top_k": 1}},
    "wide": {"model": "gpt", "slots": 4},
}


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Sampling]:
    """Return the sampling of all requests that reach an engine."""
    sampling: list[Sampling] = []
    spoken = Speaker.generate

    def generate(self: Speaker, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        sampling.append(request.sampling)
        return spoken(self, request)

    monkeypatch.setattr(Speaker, "generate", generate)
    return sampling


def a_shelf() -> Shelf:
    return Shelf(a_spec("a-Q4_0.gguf", quant="Q4_0"), a_spec("b"))


def test_a_preset_of_other_sampling_shares_the_weights_of_its_model(heard: list[Sampling]) -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), models=ROWS, presets=PRESETS) as counter:
            for model in ("a", "calm", "a:calm", "gpt"):
                await counter.ask("hi", model=model)
            await counter.ask("hi", model="calm", sampling=Sampling(temperature=1.5))
            assert await counter.states() == {"a-Q4_0.gguf": "ready"}
            assert len(counter.backend.engines) == 1
            assert (await counter.service.ready("calm")).ready
            await counter.service.unload("calm")
            assert await counter.states() == {}

    asyncio.run(main())
    assert [(each.temperature, each.top_k) for each in heard] == [
        (0.5, None),
        (0.0, 1),
        (0.0, 1),
        (0.5, None),
        (1.5, 1),
    ]


def test_a_preset_of_other_options_is_loaded_for_itself(heard: list[Sampling]) -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), models=ROWS, presets=PRESETS) as counter:
            await counter.ask("hi", model="a")
            await counter.ask("hi", model="wide")
            assert [engine.slots for engine in counter.backend.engines] == [1, 4]
            assert await counter.states() == {"a-Q4_0.gguf": "ready", "wide": "ready"}
            assert (await counter.service.ready("calm:latest")).reason == "ready"

    asyncio.run(main())
    assert [each.temperature for each in heard] == [0.5, 0.5]


def test_the_preset_default_serves_requests_that_name_no_model(heard: list[Sampling]) -> None:
    async def main() -> None:
        presets = {"default": {"model": "a", "sampling": {"top_k": 3}}}
        async with a_counter(a_shelf(), presets=presets) as counter:
            assert await counter.service.default_model() == "default"
            await counter.ask("hi", model="")
            assert await counter.states() == {"a-Q4_0.gguf": "ready"}

    asyncio.run(main())
    assert [each.top_k for each in heard] == [3]


def test_presets_do_not_take_from_a_model_that_it_is_the_only_one() -> None:
    async def main() -> None:
        shelf = Shelf(a_spec("a"))
        async with a_counter(shelf, presets={"calm": {"model": "a"}}) as counter:
            assert await counter.service.default_model() == "a"
            await counter.ask("hi", model="")

    asyncio.run(main())


def test_a_name_of_several_models_is_refused_with_them() -> None:
    async def main() -> None:
        shelf = Shelf(a_spec("m-Q4_0", quant="Q4_0"), a_spec("m-Q8_0", quant="Q8_0"))
        async with a_counter(shelf) as counter:
            said = r"^there is no model 'm'; it may be 'm-Q4_0' or 'm-Q8_0': name one of them$"
            for verb in (counter.ask("hi", model="m"), counter.service.unload("m")):
                with pytest.raises(ModelNotFoundError, match=said):
                    await verb
            with pytest.raises(ModelNotFoundError, match=said):
                await counter.service.known("m")
            assert (await counter.service.known("M:q8_0")).id == "m-Q8_0"

    asyncio.run(main())


def test_a_preset_comes_and_goes_with_its_model(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        shelf = Shelf(a_spec("b"))
        async with a_counter(shelf, presets={"calm": {"model": "a"}}) as counter:
            why = r"presets\['calm'\]\.model: there is no model 'a'"
            with pytest.raises(InvalidModelError, match=why):
                await counter.ask("hi", model="calm")
            assert "the preset 'calm' cannot be used: presets['calm'].model" in caplog.text
            shelf.specs.append(a_spec("a"))
            await counter.service.refresh()
            await counter.ask("hi", model="calm")
            assert await counter.states() == {"a": "ready"}
            shelf.specs.pop()
            await counter.service.refresh()
            with pytest.raises(InvalidModelError, match=why):
                await counter.ask("hi", model="calm")

    asyncio.run(main())


def test_a_wrong_option_of_a_preset_stops_the_start() -> None:
    async def main() -> None:
        presets = {"calm": {"model": "a", "slts": 1}}
        with pytest.raises(ConfigurationError, match=r"presets\['calm'\]\.slts: .* 'slots'"):
            async with a_counter(Shelf(a_spec("a")), presets=presets):
                pass

    asyncio.run(main())
