# SPDX-License-Identifier: GPL-3.0-only
"""A model that can never fit as configured is loaded with less, and says so."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from modeld.errors import InvalidModelError
from modeld.events import ModelEvicted, ModelLoaded
from modeld.serving.state.model_entry import ModelEntry
from modeld.status import ModelPlan, PlanOutcome
from modeld.testing.doubles.virtual_time import run_virtually, settle
from modeld.values import FitStep
from tests.support.serving.fakes import MIB
from tests.support.serving.stage import Stage, a_stage

STEPS = (
    FitStep(name="slots", gives_up="3 slots in place of 4", changes={"slots": 3}),
    FitStep(name="slots", gives_up="2 slots in place of 4", changes={"slots": 2}),
    FitStep(name="last", gives_up="one slot in place of 4", changes={"slots": 1}),
)
"""The fake backend's options have nothing else that a step may change."""


def a_large(stage: Stage, size_mb: int = 150, **choices: Any) -> ModelEntry:
    """Return a model that may be measured, and that has steps to fit into 100 MiB."""
    stage.backend.steps = STEPS
    return stage.entry("a", size_mb, measurable=True, slots=4, most_mb=100, **choices)


async def measured(stage: Stage, *results: int | Exception | None) -> None:
    """End so many measurements, one after the other, that follow each other."""
    for result in results:
        await stage.end_measurement("a", result)


def slots_measured(stage: Stage) -> list[int | None]:
    return [options.slots for options in stage.backend.measured_with]


def test_the_first_step_with_which_it_fits_is_taken_in_their_order() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = a_large(stage)
            client = await stage.client(entry)
            await measured(stage, 150, 120, 90)
            assert slots_measured(stage) == [4, 3, 2]
            assert stage.scheduler.ledger.held_bytes == 90 * MIB
            await stage.end_load("a", held_mb=90, slots=2)
            assert client.runs
            assert [options.slots for options in stage.backend.loaded_with] == [2]
            assert entry.options.slots == 4

    run_virtually(main())


def test_the_receipt_is_in_the_status_and_in_the_event() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = a_large(stage)
            await stage.client(entry)
            await measured(stage, 150, 120, 110, 60)
            await stage.end_load("a")
            fitting = entry.status(0.0).fitting
            assert fitting is not None
            assert (fitting.step, fitting.full_bytes) == ("last", 150 * MIB)
            assert fitting.gives_up == "2 slots in place of 4; one slot in place of 4"
            assert fitting.options == {"slots": 1}
            (loaded,) = stage.seen(ModelLoaded)
            assert (loaded.fit, loaded.gives_up) == ("last", fitting.gives_up)

    run_virtually(main())


def test_what_fits_as_it_is_configured_has_no_receipt() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = a_large(stage)
            await stage.client(entry)
            await measured(stage, 95)
            await stage.end_load("a", slots=4)
            assert entry.status(0.0).fitting is None
            assert stage.seen(ModelLoaded)[0].fit == ""
            assert slots_measured(stage) == [4]

    run_virtually(main())


def test_nothing_is_given_up_so_that_a_model_waits_less_or_others_may_stay() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            await stage.resident("b", 50)
            entry = a_large(stage)
            client = await stage.client(entry)
            await measured(stage, 90)
            assert [event.model for event in stage.seen(ModelEvicted)] == ["b"]
            await stage.end_load("a", slots=4)
            assert client.runs
            assert slots_measured(stage) == [4]

    run_virtually(main())


def test_rule_7_what_no_step_makes_fit_is_refused_with_the_numbers_and_what_was_tried() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            await stage.resident("b", 50)
            entry = a_large(stage)
            clients = [await stage.client(entry) for _ in range(2)]
            await measured(stage, 150, 140, 130, 120)
            for client in [*clients, await stage.client(entry)]:
                assert await client.outcome() == "model_exceeds_budget"
                assert client.error is not None
                assert client.error.message == (
                    "model 'a' needs 150 MiB, 50 MiB more than the 100 MiB that memory_budget_mb"
                    " less memory_margin_mb allow; with less (2 slots in place of 4; one slot in"
                    " place of 4) it would still need 120 MiB; raise the budget, or lower"
                    " the model's context"
                )
            assert stage.seen(ModelEvicted) == []
            assert slots_measured(stage) == [4, 3, 2, 1]

    run_virtually(main())


def test_a_step_that_cannot_be_had_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            client = await stage.client(a_large(stage))
            await measured(stage, 150, InvalidModelError("not so"), 90)
            await stage.end_load("a", slots=2)
            assert client.runs

    run_virtually(main())
    assert "a: step slots is passed over: InvalidModelError: not so" in caplog.text


def test_where_nothing_is_measured_the_estimates_of_the_steps_count() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = a_large(stage)
            client = await stage.client(entry)
            await measured(stage, None, None)
            assert stage.scheduler.ledger.held_bytes == 0  # the file has no bytes
            await stage.end_load("a", slots=3)
            assert client.runs

    run_virtually(main())


def test_who_forbids_it_is_refused_at_once_and_others_are_served() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = a_large(stage)
            strict = await stage.client(entry, takes_fitted=False)
            other = await stage.client(entry)
            await measured(stage, 150, 90)
            assert await strict.outcome() == "model_exceeds_budget"
            assert strict.error is not None
            assert strict.error.field == "fit"
            assert "it is served with 3 slots in place of 4, which `fit`" in strict.error.message
            await stage.end_load("a", slots=3)
            assert other.runs
            later = await stage.client(entry, takes_fitted=False)
            assert await later.outcome() == "model_exceeds_budget"

    run_virtually(main())


def test_for_who_forbids_it_nobody_is_evicted_and_nothing_is_loaded() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            await stage.resident("b", 50)
            entry = a_large(stage)
            strict = await stage.client(entry, takes_fitted=False)
            await measured(stage, 150, 90)
            assert await strict.outcome() == "model_exceeds_budget"
            assert await (await stage.client(entry, takes_fitted=False)).outcome() == (
                "model_exceeds_budget"
            )
            assert stage.seen(ModelEvicted) == []
            assert stage.backend.started == ["b"]

    run_virtually(main())


def test_who_forbids_it_is_served_by_a_model_that_fits_as_configured() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            strict = await stage.client(a_large(stage), takes_fitted=False)
            await measured(stage, 100)
            await stage.end_load("a", slots=4)
            assert strict.runs

    run_virtually(main())


def test_with_a_larger_budget_the_next_load_is_as_configured_again() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = a_large(stage)
            client = await stage.client(entry)
            await measured(stage, 150, 90)
            await stage.end_load("a", held_mb=90, slots=3)
            main_memory = stage.scheduler.ledger.main
            main_memory.limit_bytes = main_memory.most_bytes = 160 * MIB
            await client.leave()
            assert (await stage.client(entry)).runs, "what is loaded stays what it is"
            stage.clients[-1].may_leave.set()
            await stage.pool.unload(entry)
            strict = await stage.client(entry, takes_fitted=False)
            await measured(stage, 150)
            await stage.end_load("a", slots=4)
            assert strict.runs
            assert entry.status(0.0).fitting is None
            assert slots_measured(stage) == [4, 3, 4]
            assert stage.scheduler.ledger.held_bytes == 150 * MIB

    run_virtually(main())


def test_what_was_refused_is_looked_at_again_with_another_budget() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = a_large(stage)
            client = await stage.client(entry)
            await measured(stage, 150, 140, 130, 120)
            assert await client.outcome() == "model_exceeds_budget"
            main_memory = stage.scheduler.ledger.main
            main_memory.limit_bytes = main_memory.most_bytes = 135 * MIB
            again = await stage.client(entry)
            await measured(stage, 150, 140, 130)
            await stage.end_load("a", slots=2)
            assert again.runs

    run_virtually(main())


def test_a_plan_tells_the_step_and_the_request_finds_what_was_measured_for_it() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = a_large(stage)
            asked = asyncio.create_task(stage.pool.plan(entry))
            await settle()
            await measured(stage, 150, 90)
            plan = await asked
            assert (plan.outcome, plan.needed_bytes) == ("loads", 90 * MIB)
            assert plan.fitting is not None
            assert plan.fitting.gives_up == "3 slots in place of 4"
            client = await stage.client(entry)
            await stage.end_load("a", slots=3)
            assert client.runs
            assert entry.status(0.0).fitting == plan.fitting
            assert slots_measured(stage) == [4, 3]

    run_virtually(main())


@pytest.mark.parametrize("seed", range(20))
def test_what_is_planned_is_what_then_happens_also_where_a_model_has_to_fit(seed: int) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        sizes_mb = sorted((chance.randint(20, 200) for _ in range(4)), reverse=True)
        async with a_stage(budget_mb=100) as stage:
            if chance.random() < 0.5:
                await stage.resident("b", chance.randint(10, 90))
            entry = a_large(stage, sizes_mb[0])
            planning = asyncio.create_task(stage.pool.plan(entry))
            await settle()
            for size_mb in sizes_mb:
                if not planning.done():
                    await measured(stage, size_mb)
            await check_that_it_happens(stage, entry, await planning)

    run_virtually(main())


async def check_that_it_happens(stage: Stage, entry: ModelEntry, plan: ModelPlan) -> None:
    before = len(stage.backend.measured)
    client = await stage.client(entry)
    assert len(stage.backend.measured) == before
    if plan.outcome is PlanOutcome.NEVER:
        assert await client.outcome() == plan.reason
        assert client.error is not None
        assert client.error.message == plan.message
        return
    assert [event.model for event in stage.seen(ModelEvicted)] == list(plan.evicts)
    reserved = entry.instances[0].reservation.size_bytes
    await stage.end_load("a", slots=stage.backend.loaded_with[-1].slots or 1)
    assert client.runs
    assert reserved == plan.needed_bytes
    assert entry.status(0.0).fitting == plan.fitting
