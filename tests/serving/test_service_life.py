# SPDX-License-Identifier: GPL-3.0-only
"""From the start of a service to its end."""

import asyncio
import logging

import pytest

from modeld import Done
from modeld.errors import (
    ConfigurationError,
    DrainingError,
    ModelNotFoundError,
)
from modeld.status import ServiceState
from tests.support.serving.counter import (
    PATIENCE_S,
    Counter,
    a_counter,
    a_shelf,
    until,
    until_running,
)
from tests.support.serving.sources import Shelf, a_spec


def test_before_the_start_and_after_the_end_no_request_is_taken() -> None:
    async def main() -> None:
        counter = Counter(a_shelf())
        with pytest.raises(DrainingError):
            await counter.ask("hi")
        assert (await counter.service.status()).state is ServiceState.STARTING
        await counter.service.start()
        await counter.ask("hi")
        await counter.service.aclose()
        await counter.service.aclose()
        with pytest.raises(DrainingError):
            await counter.ask("hi")
        with pytest.raises(DrainingError):
            await counter.service.load("a")
        assert (await counter.service.status()).state is ServiceState.CLOSED

    asyncio.run(main())


def test_a_drain_lets_running_requests_finish_and_then_ends_everything() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            running = counter.asking("one WAIT two")
            await until_running(counter)
            waiting = counter.asking("hi")
            drain = asyncio.create_task(counter.service.drain(PATIENCE_S))
            with pytest.raises(DrainingError):
                await waiting
            with pytest.raises(DrainingError):
                await counter.ask("hi")
            assert not (await counter.service.ready()).ready
            assert (await counter.service.status()).state is ServiceState.DRAINING
            counter.backend.engines[0].may_go_on.set()
            assert isinstance((await running)[-1], Done)
            await drain
            assert counter.backend.engines[0].closed
            assert (await counter.service.status()).state is ServiceState.CLOSED
            await counter.service.drain(PATIENCE_S)

    asyncio.run(main())


def test_a_second_start_does_nothing() -> None:
    async def main() -> None:
        shelf = a_shelf()
        async with a_counter(shelf) as counter:
            await counter.service.start()
            assert shelf.asked == 1

    asyncio.run(main())


def test_starts_at_once_are_one_start() -> None:
    async def main() -> None:
        counter = Counter(a_shelf())
        started = 0

        async def start_hosting() -> None:
            nonlocal started
            started += 1

        counter.service._pool._hosting.start = start_hosting  # type: ignore[method-assign]
        await asyncio.gather(*(counter.service.start() for _ in range(3)))
        await counter.service.aclose()
        assert started == 1

    asyncio.run(main())


def test_a_service_that_is_closed_while_it_looks_for_models_stays_closed() -> None:
    async def main() -> None:
        shelf = a_shelf()
        shelf.may_go_on.clear()
        counter = Counter(shelf)
        start = asyncio.create_task(counter.service.start())
        await until(lambda: shelf.asked)
        await counter.service.aclose()
        shelf.may_go_on.set()
        await asyncio.wait([start])
        assert (await counter.service.status()).state is ServiceState.CLOSED

    asyncio.run(main())


def test_a_service_that_is_closed_while_its_workers_start_stays_closed() -> None:
    async def main() -> None:
        counter = Counter(a_shelf())
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def start_hosting() -> None:
            begun.set()
            await may_end.wait()

        counter.service._pool._hosting.start = start_hosting  # type: ignore[method-assign]
        start = asyncio.create_task(counter.service.start())
        await begun.wait()
        await counter.service.aclose()
        may_end.set()
        await asyncio.wait([start])
        assert (await counter.service.status()).state is ServiceState.CLOSED

    asyncio.run(main())


@pytest.mark.parametrize("row", [{"slot": 2}, {"backend": "none of these"}])
def test_a_wrong_option_stops_the_start_and_names_itself(row: dict[str, object]) -> None:
    async def main() -> None:
        counter = Counter(a_shelf(), models={"*": row})
        with pytest.raises(ConfigurationError, match=rf"models\['\*'\]\.{next(iter(row))}:"):
            await counter.service.start()
        await counter.service.aclose()

    asyncio.run(main())


def test_wrong_options_of_models_that_cannot_be_used_stop_nothing() -> None:
    async def main() -> None:
        rows = {"bad": {"nonsense": 1}, "x": {"nonsense": 1}}
        async with a_counter(a_shelf(), models=rows) as counter:
            await counter.ask("hi")

    asyncio.run(main())


def test_options_that_match_no_model_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        rows = {"qwen*": {"slots": 2}, "A": {"slots": 2}, "a": {"slots": 2}}
        async with a_counter(a_shelf(), models=rows):
            pass

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert caplog.messages == [
        "models['qwen*'] in the settings matches none of the models found",
        "models['A'] in the settings matches none of the models found; did you mean 'a'?",
    ]


def test_an_unknown_default_model_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), default_model="nope"):
            pass

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert "default_model 'nope' is not among the models found" in caplog.text


def test_a_request_that_waits_for_the_sources_is_told_that_the_server_closes() -> None:
    async def main() -> None:
        shelf = a_shelf()
        async with a_counter(shelf) as counter:
            shelf.may_go_on.clear()
            refresh = asyncio.create_task(counter.service.refresh())
            await asyncio.sleep(0)
            await counter.service.aclose()
            with pytest.raises(DrainingError):
                await refresh

    asyncio.run(main())


def test_a_broken_source_is_in_the_status() -> None:
    async def main() -> None:
        shelf = a_shelf()
        async with a_counter(shelf) as counter:
            shelf.error = OSError("the disk is on fire")
            assert [spec.id for spec in await counter.service.refresh()] == ["a", "b", "bad", "x"]
            assert (await counter.service.status()).error == "shelf: the disk is on fire"

    asyncio.run(main())


def test_a_source_that_does_not_answer_holds_up_no_start_and_probes_say_it() -> None:
    async def main() -> None:
        late = Shelf(a_spec("c"), name="late")
        late.may_go_on.clear()
        async with a_counter(a_shelf(), late, source_timeout_s=0.1) as counter:
            service = counter.service
            assert (await service.status()).state is ServiceState.RUNNING
            assert (await service.ready()).reason == "source_late"
            assert (await service.ready("b")).reason == "source_late"
            assert (await service.ready("bad")).reason == "invalid_model"
            assert (await service.ready("c")).reason == "source_late"
            await counter.ask("hi")
            assert (await service.ready()).ready
            late.may_go_on.set()
            async with asyncio.timeout(PATIENCE_S):
                while (await service.ready("c")).reason == "source_late":  # noqa: ASYNC110
                    await asyncio.sleep(0)
            assert (await service.ready("c")).reason == "loading"
            with pytest.raises(ModelNotFoundError):
                await service.ready("d")

    asyncio.run(main())


def test_ready_means_a_loaded_model_unless_taking_requests_is_enough() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            service = counter.service
            assert (await service.ready()).reason == "loading"
            await counter.ask("hi")
            assert (await service.ready()).ready
            assert (await service.ready("a")).ready
            assert not (await service.ready("b")).ready
            assert (await service.ready("bad")).reason == "invalid_model"
        ready = await service.ready()
        assert (ready.ready, ready.reason) == (False, "closed")
        async with a_counter(a_shelf(), readiness="accepting") as counter:
            assert (await counter.service.ready("b")).reason == "accepting"

    asyncio.run(main())
