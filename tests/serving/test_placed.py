# SPDX-License-Identifier: GPL-3.0-only
"""A service says how a request came to be served, to who asks for it, and what its model lacks."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import aclosing

import pytest

from modeld import GenerateRequest, MemoryEstimate, ModelSpec, Options
from modeld.errors import ModelExceedsBudgetError
from modeld.requests import TokenizeRequest
from modeld.responses import Chunk, Done, Placed
from modeld.serving.state.model_entry import ModelEntry
from modeld.settings import Settings
from modeld.status import PlanOutcome
from modeld.testing.doubles.virtual_time import run_virtually, settle
from modeld.values import FitStep
from tests.support.serving.counter import Counter, SpeakerBackend, a_counter, a_shelf
from tests.support.serving.fakes import MIB
from tests.support.serving.stage import Stage, a_stage

STEP = FitStep(name="slots", gives_up="one slot in place of any number", changes={"slots": 1})


class Shrinking(SpeakerBackend):
    """Needs 150 MiB, and 50 with one slot."""

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        return MemoryEstimate(weights_bytes=(50 if options.slots == 1 else 150) * MIB)

    def fit_steps(
        self, spec: ModelSpec, options: Options, fixed: Collection[str], most_bytes: int
    ) -> Sequence[FitStep]:
        return () if "slots" in fixed else (STEP,)


def shrink(counter: Counter) -> None:
    counter.backend = Shrinking()
    counter.plugins.backends = {"speaker": counter.backend}


async def placed(counter: Counter, model: str = "a", **members: bool) -> list[Placed | Chunk]:
    request = GenerateRequest(model=model, prompt="hi", request_id="r", **members)
    async with aclosing(counter.service.generate_placed(request)) as chunks:
        return [chunk async for chunk in chunks]


def test_it_is_told_first_and_only_to_who_asks_for_it() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), memory_budget_mb=150) as counter:
            first, *others = await placed(counter)
            assert isinstance(first, Placed)
            assert (first.placement, first.fit) == (PlanOutcome.LOADS, "")
            assert 0 <= first.load_s <= first.queue_wait_s
            assert not any(isinstance(each, Placed) for each in others)
            evicting, *_ = await placed(counter, model="b")
            assert isinstance(evicting, Placed)
            assert evicting.placement is PlanOutcome.EVICTS
            assert not any(isinstance(each, Placed) for each in await counter.ask("hi", model="b"))

    asyncio.run(main())


def test_a_unary_request_is_told_it_too() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            await counter.ask("hi")
            told, response = await counter.service.submit_placed(
                TokenizeRequest(model="a", text="x")
            )
            assert told.placement is PlanOutcome.RESIDENT
            assert response == await counter.service.submit(TokenizeRequest(model="a", text="x"))

    asyncio.run(main())


def test_what_a_model_lacks_is_in_the_usage_and_the_status() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), memory_budget_mb=100) as counter:
            shrink(counter)
            first, *_, done = await placed(counter)
            assert isinstance(first, Placed)
            assert isinstance(done, Done)
            assert first.fit == done.usage.fit == "slots"
            (status,) = (await counter.service.status()).instances
            assert status.fitting is not None
            assert status.fitting.gives_up == STEP.gives_up
            with pytest.raises(ModelExceedsBudgetError, match="which `fit` of the request forbids"):
                await placed(counter, fit=False)

    asyncio.run(main())


@pytest.mark.parametrize(
    "settings",
    [
        {"fit": False},
        {"models": {"*": {"fit": False}}},
        {"models": {"a": {"slots": 2}}},
        {"fit": True, "models": {"*": {"fit": True}, "a": {"fit": False}}},
    ],
)
def test_where_it_is_off_or_all_is_set_the_model_is_refused(settings: dict[str, object]) -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), memory_budget_mb=100, **settings) as counter:
            shrink(counter)
            assert (await counter.service.plan("a")).outcome is PlanOutcome.NEVER
            with pytest.raises(ModelExceedsBudgetError, match="needs 150 MiB, 50 MiB more"):
                await placed(counter)

    asyncio.run(main())


def test_a_row_turns_it_on_where_the_setting_is_off() -> None:
    async def main() -> None:
        rows = {"a": {"fit": True}}
        async with a_counter(a_shelf(), memory_budget_mb=100, fit=False, models=rows) as counter:
            shrink(counter)
            assert (await counter.service.plan("a")).fitting is not None
            assert (await counter.service.plan("b")).outcome is PlanOutcome.NEVER

    asyncio.run(main())


def test_it_is_on_unless_set() -> None:
    assert Settings().fit


@pytest.mark.parametrize(
    ("resident", "expected"),
    [
        (0, [PlanOutcome.LOADS, PlanOutcome.LOADING]),
        (100, [PlanOutcome.EVICTS, PlanOutcome.EVICTS]),
    ],
)
def test_who_comes_before_a_measurement_is_told_what_the_plan_says_after_it(
    resident: int, expected: list[PlanOutcome]
) -> None:
    async def main() -> None:
        async with a_stage(budget_mb=110) as stage:
            if resident:
                await stage.resident("other", resident)
            entry = stage.entry("a", 100, measurable=True)
            placed: list[PlanOutcome] = []
            clients = [asyncio.create_task(leased(stage, entry, placed)) for _ in range(2)]
            await settle()
            assert "a" in stage.backend.measurements
            await stage.end_measurement("a", 100)
            await settle()
            await stage.end_load("a", slots=2)
            await asyncio.gather(*clients)
            assert placed == expected

    run_virtually(main())


async def leased(stage: Stage, entry: ModelEntry, placed: list[PlanOutcome]) -> None:
    async with stage.pool.lease(entry, max_wait_s=60) as lease:
        placed.append(lease.placement)


def test_a_load_may_be_forbidden_with_less_than_configured() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), memory_budget_mb=100) as counter:
            shrink(counter)
            with pytest.raises(ModelExceedsBudgetError):
                await counter.service.load("a", fit=False)
            assert not counter.backend.loaded
            await counter.service.load("a")
            assert len(counter.backend.loaded) == 1

    asyncio.run(main())
