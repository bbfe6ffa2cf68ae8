# SPDX-License-Identifier: GPL-3.0-only
"""What a pool and a service say of what a request would bring about."""

import asyncio

import pytest

from modeld.errors import DrainingError, InvalidModelError, ModelNotFoundError
from modeld.events import ModelLoadFailed, RequestStarted
from modeld.serving.state.cooldown import FIRST_S
from modeld.status import PlanOutcome
from modeld.testing.doubles.virtual_time import now_s, run_virtually, settle
from tests.serving.test_service import a_shelf
from tests.support.serving.counter import a_counter
from tests.support.serving.fakes import MIB, an_entry
from tests.support.serving.stage import Stage, a_stage


def planning(stage: Stage, size_mb: int = 150) -> asyncio.Task[object]:
    """Ask about a model that nobody has used, and that may be measured."""
    entry = an_entry(stage.backend, "new", size_mb=size_mb, measurable=True)
    return asyncio.create_task(stage.pool.plan(entry))


@pytest.mark.parametrize(
    ("measured_mb", "outcome"), [(90, "loads"), (200, "never"), (None, "never")]
)
def test_what_leaves_open_whether_it_fits_is_measured_first(
    measured_mb: int | None, outcome: str
) -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            asked = planning(stage)
            await settle()
            assert not asked.done()
            await stage.end_measurement("new", measured_mb)
            plan = await asked
            assert plan.outcome == outcome
            assert plan.needed_bytes == (measured_mb or 150) * MIB
            assert stage.backend.started == []
            assert "new" not in stage.scheduler.entries

    run_virtually(main())


def test_a_measurement_that_says_that_a_load_would_fail_is_the_plans_error() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            asked = planning(stage)
            await settle()
            await stage.end_measurement("new", InvalidModelError("it is no model"))
            with pytest.raises(InvalidModelError, match="it is no model") as raised:
                await asked
            assert raised.value.retry_after_s is None
            assert not stage.seen(ModelLoadFailed)

    run_virtually(main())


def test_where_measuring_fails_in_passing_the_estimate_counts() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            asked = planning(stage, size_mb=90)
            await settle()
            await stage.end_measurement("new", OSError("no process to be had"))
            assert (await asked).outcome is PlanOutcome.LOADS

    run_virtually(main())


def test_who_asks_for_the_model_meanwhile_shares_the_measurement() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = stage.entry("new", 150, measurable=True)
            asked = asyncio.create_task(stage.pool.plan(entry))
            await settle()
            client = await stage.client(entry)
            assert stage.backend.measured == ["new"]
            await stage.end_measurement("new", 90)
            assert (await asked).outcome is PlanOutcome.LOADING
            await stage.end_load("new")
            assert client.runs

    run_virtually(main())


def test_a_client_that_leaves_ends_its_measurement_and_others_make_their_own() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = stage.entry("new", 150, measurable=True)
            asked = asyncio.create_task(stage.pool.plan(entry))
            await settle()
            client = await stage.client(entry)
            asked.cancel()
            await asyncio.wait([asked])
            await settle()
            assert stage.backend.measured == ["new", "new"]
            await stage.end_measurement("new", 90)
            await stage.end_load("new")
            assert client.runs

    run_virtually(main())


def test_a_model_that_cools_down_would_be_refused_for_that_long() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            client = await stage.client(entry)
            await stage.fail_load("a", OSError("no"))
            assert await client.outcome() == "load_failed"
            plan = await stage.pool.plan(entry)
            assert (plan.outcome, plan.reason) == ("refused", "load_failed")
            assert plan.wait_s == pytest.approx(FIRST_S)

    run_virtually(main())


def test_a_plan_uses_nothing_and_nobody_comes_into_use_by_it() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), memory_budget_mb=150) as counter:
            service = counter.service
            await counter.ask("hi", model="a")
            used = (await service.status()).instances[0].last_used_unix
            assert (await service.plan("a")).outcome is PlanOutcome.RESIDENT
            plan = await service.plan("b")
            assert (plan.outcome, plan.evicts) == ("evicts", ("a",))
            with pytest.raises(ModelNotFoundError):
                await service.plan("nobody")
            assert await counter.states() == {"a": "ready"}
            assert (await service.status()).instances[0].last_used_unix == used
            await counter.ask("hi", model="b")
            assert await counter.states() == {"b": "ready"}

    asyncio.run(main())


def test_what_was_planned_is_told_of_the_request_that_then_comes() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), memory_budget_mb=150) as counter:
            for model in ("a", "a", "b"):
                planned = (await counter.service.plan(model)).outcome
                await counter.ask("hi", model=model)
                assert counter.notebook.of(RequestStarted)[-1].placement is planned
            placed = [each.placement for each in counter.notebook.of(RequestStarted)]
            assert placed == ["loads", "resident", "evicts"]

    asyncio.run(main())


def test_the_status_says_why_a_model_leaves_or_is_left_alone() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry, _, client = await stage.busy("a")
            assert entry.status(now_s()).reason is None
            unloading = asyncio.create_task(stage.pool.unload(entry))
            await settle()
            assert entry.status(now_s()).reason == "unload_requested"
            await client.leave()
            await unloading
            failing = await stage.client(entry)
            await stage.fail_load("a", OSError("no"))
            assert await failing.outcome() == "load_failed"
            assert entry.status(now_s()).reason == "load_failed"

    run_virtually(main())


def test_a_plan_that_waits_for_a_measurement_ends_with_the_pool() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = stage.entry("new", 150, measurable=True)
            client = await stage.client(entry)
            assert stage.backend.measured == ["new"]
            asked = asyncio.create_task(stage.pool.plan(entry))
            await settle()
            await stage.pool.aclose()
            with pytest.raises(DrainingError):
                await asked
            assert await client.outcome() == "draining"

    run_virtually(main())
