# SPDX-License-Identifier: GPL-3.0-only
"""What is loaded and pinned at the start, within the budget."""

from __future__ import annotations

import asyncio
import logging

import pytest

from modeld import ModelSpec
from modeld.errors import ConfigurationError, LoadFailedError
from tests.support.serving.counter import Counter, a_counter, until, until_running
from tests.support.serving.sources import Shelf, a_spec


def a_shelf() -> Shelf:
    return Shelf(*map(a_spec, "abcd"))


async def settled(counter: Counter) -> None:
    """Return when the task that preloads is over."""
    await until(
        lambda: not any(task.get_name() == "modeld-preload" for task in asyncio.all_tasks())
    )


def test_models_are_loaded_at_the_start_in_their_order() -> None:
    async def main() -> None:
        rows = {"a": {"preload": True}, "b": {"preload": True}}
        presets = {"calm": {"model": "c"}}
        async with a_counter(
            a_shelf(), preload=("calm", "b"), models=rows, presets=presets
        ) as counter:
            assert await counter.service.models()  # it serves meanwhile
            await settled(counter)
            assert [spec.id for spec in counter.backend.loaded] == ["c", "b", "a"]
            assert (await counter.service.status()).error is None

    asyncio.run(main())


def test_what_cannot_be_loaded_is_told_and_stops_neither_the_others_nor_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with a_counter(
            a_shelf(), preload=("aa", "a", "b", "c", "d"), memory_budget_mb=250
        ) as counter:
            counter.backend.load_errors.append(LoadFailedError("no luck"))
            await settled(counter)
            assert await counter.states() == {"a": "failed", "b": "ready", "c": "ready"}
            error = str((await counter.service.status()).error)
            assert error.startswith("preload of 'aa': there is no model 'aa'; did you mean 'a'?; ")
            assert "; preload of 'a': model 'a' could not be loaded: no luck; " in error
            assert "preload of 'd': model 'd' needs 100 MiB, 50 MiB more than are" in error
            await counter.service.unload("b")
            await counter.ask("hi", model="d")
            assert "preload of 'd'" not in str((await counter.service.status()).error)

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert "'aa' was not loaded at the start: there is no model 'aa'" in caplog.text


def test_the_end_of_the_server_is_no_failure_of_what_was_not_loaded_yet(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), preload=("a", "b")) as counter:
            counter.backend.may_load.clear()
            await until(lambda: counter.backend.loaded)
            await counter.service.drain(0)
            assert [spec.id for spec in counter.backend.loaded] == ["a"]

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert not caplog.records


def test_a_pinned_model_is_pinned_once_it_is_loaded_and_makes_no_room() -> None:
    async def main() -> None:
        rows = {"a": {"pin": True}}
        presets = {"calm": {"model": "b", "pin": True}, "wide": {"model": "c", "slots": 2}}
        async with a_counter(
            a_shelf(), models=rows, presets=presets, memory_budget_mb=300
        ) as counter:
            for model in ("a", "b", "wide", "d"):
                await counter.ask("hi", model=model)
            pinned = {
                each.model_id: each.pinned for each in (await counter.service.status()).instances
            }
            assert pinned == {"a": True, "b": True, "d": False}
            await counter.service.pin("a", pinned=False)
            await counter.ask("hi", model="c")
            assert "b" in await counter.states()

    asyncio.run(main())


@pytest.mark.parametrize("meanwhile", [[], [a_spec("a", problem="it is broken")]])
@pytest.mark.parametrize("pinned", [True, False])
def test_a_model_that_was_gone_for_a_while_is_pinned_again_unless_somebody_has_unpinned_it(
    pinned: bool, meanwhile: list[ModelSpec]
) -> None:
    async def main() -> None:
        shelf = a_shelf()
        there = list(shelf.specs)
        async with a_counter(shelf, models={"a": {"pin": True}}) as counter:
            running = counter.asking("WAIT")
            await until_running(counter)
            await counter.service.pin("a", pinned=False)
            await counter.service.pin("a", pinned=pinned)
            shelf.specs = [*meanwhile, *there[1:]]
            await counter.service._registry.refresh()
            shelf.specs = there
            await counter.service._registry.refresh()
            again = counter.asking("hi")
            await until(lambda: counter.queue("a").waiting)
            counter.backend.engines[0].may_go_on.set()
            await asyncio.gather(running, again)
            (status,) = (await counter.service.status()).instances
            assert status.pinned is pinned

    asyncio.run(main())


@pytest.mark.parametrize(
    ("budget_mb", "said"),
    [
        (
            150,
            (
                "the pinned models need 200 MiB together (estimated: 'a' 100 MiB, 'b' 100 MiB),"
                " more than the 150 MiB that memory_budget_mb less memory_margin_mb allow; pin"
                " fewer of them, or give them a smaller context"
            ),
        ),
        (200, ""),
    ],
)
def test_models_that_are_pinned_must_fit_beside_each_other(budget_mb: int, said: str) -> None:
    async def main() -> None:
        rows = {"a": {"pin": True}}
        presets = {"calm": {"model": "b", "pin": True}, "too": {"model": "a", "pin": True}}
        async with a_counter(a_shelf(), models=rows, presets=presets, memory_budget_mb=budget_mb):
            pass

    if not said:
        asyncio.run(main())
        return
    with pytest.raises(ConfigurationError) as caught:
        asyncio.run(main())
    assert caught.value.message == said
