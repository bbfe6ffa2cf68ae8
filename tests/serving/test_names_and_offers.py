# SPDX-License-Identifier: GPL-3.0-only
"""What a source says of its models beside where they are: aliases, options, capabilities."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from modeld import ModelSpec, RegistrySource, Settings, hookimpl
from modeld.errors import InvalidModelError, NotSupportedError
from modeld.events import RequestFinished, RequestStarted
from modeld.plugins.host import PluginHost
from modeld.requests import TokenizeRequest
from modeld.serving.service import LocalService
from tests.support.serving.counter import a_counter
from tests.support.serving.sources import Shelf, a_spec


def test_every_verb_takes_an_alias() -> None:
    async def main() -> None:
        shelf = Shelf(a_spec("a", aliases=("gpt",)), a_spec("b"))
        async with a_counter(shelf, default_model="gpt") as counter:
            service = counter.service
            await counter.ask("hi", model="gpt")
            await counter.ask("hi", model="")
            assert await counter.states() == {"a": "ready"}
            assert (await service.ready("gpt")).ready
            await service.pin("gpt", pinned=True)
            assert [each.pinned for each in (await service.status()).instances] == [True]
            await service.pin("gpt", pinned=False)
            await service.unload("gpt")
            assert await counter.states() == {}
            await service.load("gpt")
            assert await counter.states() == {"a": "ready"}
            started = counter.notebook.of(RequestStarted)
            ended = counter.notebook.of(RequestFinished)
            assert [event.model for event in (*started, *ended)] == ["a"] * 4

    asyncio.run(main())


def test_options_of_a_source_reach_the_engine_and_the_settings_win() -> None:
    async def main() -> None:
        shelf = Shelf(a_spec("a", options={"slots": 3}), a_spec("b", options={"slots": 3}))
        async with a_counter(shelf, models={"b": {"slots": 2}}) as counter:
            for model in ("a", "b"):
                await counter.ask("hi", model=model)
            assert [engine.slots for engine in counter.backend.engines] == [3, 2]

    asyncio.run(main())


def test_a_model_whose_options_have_changed_is_loaded_anew() -> None:
    async def main() -> None:
        shelf = Shelf(a_spec("a", options={"slots": 3}))
        async with a_counter(shelf) as counter:
            await counter.ask("hi")
            shelf.specs = [a_spec("a", options={"slots": 4})]
            await counter.service.refresh()
            await counter.ask("hi")
            assert [engine.slots for engine in counter.backend.engines] == [3, 4]

    asyncio.run(main())


def test_a_wrong_option_of_a_source_costs_its_model_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        shelf = Shelf(a_spec("a", source="mine", options={"slts": 3}), a_spec("b"))
        async with a_counter(shelf) as counter:
            await counter.ask("hi", model="b")
            specs = {spec.id: spec for spec in await counter.service.models()}
            assert "'speaker' has no such option" in str(specs["a"].problem)
            with pytest.raises(InvalidModelError, match=r"the options of source 'mine'\.slts"):
                await counter.ask("hi", model="a")

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert "model 'a' cannot be used: the options of source 'mine'.slts" in caplog.text


def test_a_model_can_be_asked_for_no_more_than_its_source_offers() -> None:
    async def main() -> None:
        shelf = Shelf(a_spec("a", offers=("text",)), a_spec("b"))
        async with a_counter(shelf) as counter:
            a, b = await counter.service.models()
            assert a.capabilities == ("text",)
            assert "tokenize" in b.capabilities
            await counter.ask("hi", model="a")
            with pytest.raises(NotSupportedError):
                await counter.service.submit(TokenizeRequest(model="a", text="hi", request_id="r"))

    asyncio.run(main())


def test_what_is_no_capability_is_a_fault_of_the_source() -> None:
    async def main() -> None:
        async with a_counter(Shelf(a_spec("a", offers=("telepathy",)))) as counter:
            status = await counter.service.status()
            assert "'a', which offers {'telepathy'}" in str(status.error)

    asyncio.run(main())


class Named(RegistrySource):
    def __init__(self, name: str, *specs: ModelSpec) -> None:
        self.name = name
        self._specs = specs

    async def list_models(self) -> Sequence[ModelSpec]:
        return self._specs


class Brings:
    def __init__(self, source: RegistrySource) -> None:
        self._source = source

    @hookimpl
    def modeld_register_sources(self) -> list[RegistrySource]:
        return [self._source]


def test_a_conflict_is_listed_with_the_plugin_whose_name_is_not_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    extra: dict[str, Any] = {
        "first": Brings(Named("one", a_spec("a", aliases=("gpt",)))),
        "second": Brings(Named("two", a_spec("b", aliases=("gpt",)))),
    }
    settings = Settings(warm_workers=0)
    plugins = PluginHost.discover(settings, extra)

    async def main() -> dict[str, str | None]:
        service = LocalService(settings, plugins)
        await service.start()
        try:
            return {each.name: each.reason for each in await service.plugins()}
        finally:
            await service.aclose()

    said = "the alias 'gpt' of its model 'b' is a name of 'a'"
    with caplog.at_level(logging.WARNING):
        reasons = asyncio.run(main())
    assert (reasons["first"], reasons["second"]) == (None, said)
    assert f"source two: {said}" in caplog.text
