# SPDX-License-Identifier: GPL-3.0-only
"""The simulation beside the real pool on virtual time, and what it counts."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from modeld import Backend, Engine, EngineHost, ModelSpec, Options
from modeld.builtin.cost_aware import CostAware
from modeld.builtin.lru import LeastRecentlyUsed
from modeld.errors import ModeldError
from modeld.simulation.driver import Rules, Simulation
from modeld.simulation.figures import Figures
from modeld.simulation.workload import Arrival, ModelFacts, Workload
from modeld.testing.doubles.virtual_time import now_s, run_virtually
from tests.support.serving.fakes import MIB, FakeEngine
from tests.support.serving.stage import a_stage

RULES = Rules(max_queue_depth=5, max_wait_s=25.0, max_overtake_s=6.0)


def facts(size_mb: int = 100, load_seconds: float = 2.0, slots: int = 1) -> ModelFacts:
    return ModelFacts(held_bytes=size_mb * MIB, load_seconds=load_seconds, slots=slots)


def workload(models: dict[str, ModelFacts], *arrivals: tuple[float, str, float]) -> Workload:
    return Workload(models=models, arrivals=[Arrival(*each) for each in arrivals])


def simulated(work: Workload, budget_mb: int, rules: Rules = RULES) -> Figures:
    return Simulation(work, LeastRecentlyUsed(), budget_mb * MIB, rules).run()


class Timed(Backend):
    """Loads take as long as the facts say."""

    name = "timed"

    def __init__(self, models: dict[str, ModelFacts]) -> None:
        self._models = models

    def can_load(self, spec: ModelSpec) -> bool:
        return True

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        known = self._models[spec.id]
        await asyncio.sleep(known.load_seconds)
        return FakeEngine(slots=known.slots, held_bytes=known.held_bytes)


def by_the_pool(work: Workload, budget_mb: int) -> tuple[list[float], list[str]]:
    """Return the waits of those who were served and the codes of the others, as the pool has it."""
    waits_s: list[float] = []
    refused: list[str] = []

    async def main() -> None:
        async with a_stage(
            budget_mb=budget_mb,
            min_residence_s=RULES.min_residence_s,
            max_overtake_s=RULES.max_overtake_s,
            policy=LeastRecentlyUsed(),
        ) as stage:
            backend = Timed(dict(work.models))
            entries = {
                model: stage.entry(
                    model, known.held_bytes // MIB, slots=known.slots, depth=RULES.max_queue_depth
                )
                for model, known in work.models.items()
            }
            for entry in entries.values():
                entry.backend = backend

            async def request(arrival: Arrival) -> None:
                await asyncio.sleep(arrival.arrived_s)
                sent_s = now_s()
                try:
                    async with stage.pool.lease(
                        entries[arrival.model], max_wait_s=RULES.max_wait_s
                    ):
                        waits_s.append(now_s() - sent_s)
                        await asyncio.sleep(arrival.service_s)
                except ModeldError as exc:
                    refused.append(exc.code)

            await asyncio.gather(*map(request, work.arrivals))

    run_virtually(main())
    return waits_s, refused


@pytest.mark.parametrize("seed", range(4))
def test_the_simulation_says_what_the_pool_does(seed: int) -> None:
    chance = random.Random(seed)
    models = {
        f"m{number}": facts(
            chance.randint(50, 200), round(chance.uniform(0.5, 6.0), 4), chance.randint(1, 3)
        )
        for number in range(6)
    }
    arrivals = sorted(
        (chance.uniform(0, 300), chance.choice([*models]), chance.expovariate(0.4))
        for _ in range(300)
    )
    work = workload(models, *arrivals)

    figures = simulated(work, 450)
    waits_s, refused = by_the_pool(work, 450)

    assert figures.served == len(waits_s)
    assert sum(figures.refused.values()) == len(refused)
    assert set(figures.refused) == set(refused)
    assert figures.swaps > 10
    assert figures.wait_max_s == pytest.approx(max(waits_s), abs=1e-3)
    assert figures.wait_mean_s == pytest.approx(sum(waits_s) / len(waits_s), abs=1e-3)


def test_loads_swaps_waits_and_what_is_held_are_counted() -> None:
    work = workload(
        {"a": facts(), "b": facts()}, (0.0, "a", 1.0), (10.0, "b", 1.0), (20.0, "b", 1.0)
    )
    figures = simulated(work, 150)
    assert (figures.requests, figures.served, figures.refused) == (3, 3, {})
    assert (figures.loads, figures.load_s, figures.swaps, figures.evictions) == (2, 4.0, 1, 1)
    assert (figures.wait_p50_s, figures.wait_max_s) == (2.0, 2.0)
    assert figures.warm_share == pytest.approx(1 / 3)
    assert figures.simulated_s == 21.0
    assert figures.utilisation == pytest.approx(100 / 150)


def test_who_waits_too_long_is_refused_and_so_is_what_never_fits_or_finds_a_full_queue() -> None:
    work = workload(
        {"a": facts(), "huge": facts(size_mb=151)},
        (0.0, "huge", 1.0),
        (1.0, "a", 60.0),
        *((2.0 + number, "a", 1.0) for number in range(6)),
    )
    figures = simulated(work, 150)
    assert figures.served == 1
    assert figures.refused == {"model_exceeds_budget": 1, "queue_full": 1, "wait_timeout": 5}


def test_an_idle_model_leaves_after_its_time_and_that_is_no_swap() -> None:
    work = workload({"a": facts()}, (0.0, "a", 1.0), (100.0, "a", 1.0))
    figures = simulated(work, 150, Rules(max_idle_s=30.0))
    assert (figures.loads, figures.swaps, figures.evictions) == (2, 0, 1)


def test_nothing_comes_to_nothing() -> None:
    figures = simulated(workload({"a": facts()}), 150)
    assert (figures.requests, figures.wait_max_s, figures.utilisation) == (0, 0.0, 0.0)
    assert not math.isnan(figures.refused_share)


def test_the_policy_is_told_how_often_each_model_is_asked_for() -> None:
    """``dear`` was used longest ago and is dear to load, so ``cost-aware`` has ``cheap`` go."""
    models = {
        "dear": facts(load_seconds=60.0),
        "cheap": facts(load_seconds=1.0),
        "new": facts(load_seconds=1.0),
    }
    arrivals = [
        (0.0, "dear", 1.0),
        (100.0, "cheap", 1.0),
        (200.0, "new", 1.0),
        (300.0, "dear", 1.0),
    ]
    work = workload(models, *arrivals)
    assert simulated(work, 200, Rules()).loads == 4
    assert Simulation(work, CostAware(), 200 * MIB, Rules()).run().loads == 3
