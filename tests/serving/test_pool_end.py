# SPDX-License-Identifier: GPL-3.0-only
"""The end of the pool: drain first, then close, on virtual time."""

import asyncio

import pytest

from modeld.errors import DrainingError
from modeld.events import ModelEvicted
from modeld.serving.lifecycle import END_GRACE_S
from modeld.serving.loader import KILLED_S
from modeld.testing.doubles.virtual_time import now_s, run_virtually, settle
from tests.support.serving.fakes import MIB, FakeEngine
from tests.support.serving.stage import Client, Stage, a_stage


def test_a_drain_sends_those_who_wait_away_and_lets_those_who_run_finish() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, engine, running = await stage.busy("a")
            waiting = await stage.client(entry)
            finish = asyncio.create_task(stage.pool.finish(timeout_s=60))
            assert await waiting.outcome() == "draining"
            late = await stage.client(entry)
            assert await late.outcome() == "draining"
            assert running.runs
            assert not finish.done()
            await running.leave()
            await finish
            assert await running.outcome() == "completed"
            assert not engine.closed

    run_virtually(main())


def test_a_drain_ends_on_time_although_requests_still_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with a_stage() as stage:
            _entry, _engine, running = await stage.busy("a")
            begun_s = now_s()
            await stage.pool.finish(timeout_s=9)
            assert now_s() - begun_s == pytest.approx(9, abs=1e-3)
            assert running.runs

    run_virtually(main())
    assert "1 requests were still running after 9 s" in caplog.text


def test_a_drain_without_requests_ends_at_once() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            await stage.resident("a")
            begun_s = now_s()
            await stage.pool.finish(timeout_s=60)
            assert now_s() == begun_s

    run_virtually(main())


async def a_crowd(stage: Stage) -> tuple[list[Client], FakeEngine]:
    """Return requests that run, wait for a slot, wait for a load and wait for room."""
    entry, engine, running = await stage.busy("a")
    waiting = await stage.client(entry)
    loading = await stage.client(stage.entry("b"))
    no_room = await stage.client(stage.entry("c", 250))
    assert [client.waits for client in (waiting, loading, no_room)] == [True] * 3
    return [running, waiting, loading, no_room], engine


def test_the_end_closes_all_engines_stops_all_loads_and_answers_everybody() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=250) as stage:
            clients, engine = await a_crowd(stage)
            await stage.pool.aclose()
            assert engine.closed
            assert stage.backend.loads == {}
            assert stage.scheduler.ledger.held_bytes == 0
            assert [event.model for event in stage.seen(ModelEvicted)] == ["a"]
            assert [await client.outcome() for client in clients[1:]] == ["draining"] * 3
            with pytest.raises(DrainingError):
                async with stage.pool.lease(stage.entry("d"), max_wait_s=1):
                    pass
            await stage.pool.aclose()

    run_virtually(main())


def test_the_end_comes_although_a_drain_is_under_way() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=250) as stage:
            clients, _engine = await a_crowd(stage)
            drain = asyncio.create_task(stage.pool.finish(timeout_s=1e6))
            await settle()
            await stage.pool.aclose()
            await clients[0].leave()
            await drain

    run_virtually(main())


def test_the_end_comes_although_an_unload_waits() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, _engine, _client = await stage.busy("a")
            unload = asyncio.create_task(stage.pool.unload(entry))
            await settle()
            await stage.pool.aclose()
            await unload

    run_virtually(main())


def test_the_end_gives_an_engine_up_that_does_not_close(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with a_stage() as stage:
            _entry, engine = await stage.resident("a")
            engine.may_close.clear()
            begun_s = now_s()
            await stage.pool.aclose()
            assert now_s() - begun_s <= END_GRACE_S + KILLED_S
            assert stage.scheduler.ledger.held_bytes == 0
            engine.may_close.set()

    run_virtually(main())
    assert "a did not close within 0.25 s and is given up" in caplog.text


def test_the_end_waits_for_a_close_under_way() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, engine = await stage.resident("a")
            engine.may_close.clear()
            unload = asyncio.create_task(stage.pool.unload(entry))
            await settle()
            end = asyncio.create_task(stage.pool.aclose())
            await settle()
            assert not end.done()
            assert stage.scheduler.ledger.held_bytes == 100 * MIB
            engine.may_close.set()
            await end
            await unload

    run_virtually(main())


def test_a_load_that_has_not_begun_as_the_pool_closes_leaves_nothing() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            client = Client(stage.pool, stage.entry("a"), 60, needs_slot=True)
            stage.clients.append(client)
            await asyncio.sleep(0)  # its load is decided, and the load's task has not run yet
            assert stage.scheduler.ledger.held_bytes == 100 * MIB

            await stage.pool.aclose()

            assert await client.outcome() == "draining"
            assert stage.backend.started == []
            assert stage.scheduler.ledger.held_bytes == 0

    run_virtually(main())
