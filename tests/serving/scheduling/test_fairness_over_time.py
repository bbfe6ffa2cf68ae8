# SPDX-License-Identifier: GPL-3.0-only
"""Minutes of load on virtual time: nobody starves, and memory is not swapped for each request."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from modeld import Backend, Engine, EngineHost, ModelSpec, Options
from modeld.events import ModelLoaded
from modeld.serving.state.model_entry import ModelEntry
from modeld.testing.doubles.virtual_time import now_s, run_virtually
from tests.support.serving.fakes import FakeEngine
from tests.support.serving.stage import Stage, a_stage

pytestmark = pytest.mark.usefixtures("unmeasured")

LOAD_S = 2.0
REQUEST_S = 0.5
MAX_OVERTAKE_S = 10.0


class Timed(Backend):
    """Loads take a while, and then go well."""

    name = "timed"

    def __init__(self, slots: int = 1) -> None:
        self._slots = slots

    def can_load(self, spec: ModelSpec) -> bool:
        return True

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        await asyncio.sleep(LOAD_S)
        return FakeEngine(slots=self._slots)


@dataclass
class Served:
    """One request: when it came, when it started."""

    model: str
    arrived_s: float
    started_s: float = field(default=0.0)


class Crowd:
    """Clients that ask again as soon as they were answered."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.served: list[Served] = []
        self.stop = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    def entry(self, model: str, size_mb: int = 100, *, slots: int = 1) -> ModelEntry:
        entry = self._stage.entry(model, size_mb, slots=slots)
        entry.backend = Timed(slots)
        return entry

    async def once(self, entry: ModelEntry, seconds: float = REQUEST_S) -> Served:
        served = Served(entry.spec.id, now_s())
        async with self._stage.pool.lease(entry, max_wait_s=1e6):
            served.started_s = now_s()
            self.served.append(served)
            await asyncio.sleep(seconds)
        return served

    def keep_asking(self, entry: ModelEntry, clients: int) -> None:
        async def ask() -> None:
            while not self.stop.is_set():
                await self.once(entry)

        self.tasks += [asyncio.create_task(ask()) for _ in range(clients)]

    async def end(self) -> None:
        self.stop.set()
        await asyncio.gather(*self.tasks)

    def loads(self) -> int:
        return len(self._stage.seen(ModelLoaded))


def test_a_waiting_model_is_not_overtaken_for_longer_than_allowed() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100, max_overtake_s=MAX_OVERTAKE_S) as stage:
            crowd = Crowd(stage)
            crowd.keep_asking(crowd.entry("a"), clients=3)
            await asyncio.sleep(60)

            waited = await crowd.once(crowd.entry("b"))

            overtakers = [
                other.started_s
                for other in crowd.served
                if other.model == "a" and waited.arrived_s < other.arrived_s
                if other.started_s < waited.started_s
            ]
            assert overtakers, "a swap for each request would serve nobody"
            assert max(overtakers) - min(overtakers) <= MAX_OVERTAKE_S
            waited_s = waited.started_s - waited.arrived_s
            assert waited_s <= 3 * REQUEST_S + MAX_OVERTAKE_S + REQUEST_S + LOAD_S + 0.01
            await crowd.end()

    run_virtually(main())


def test_under_load_there_is_at_most_one_swap_per_overtaking_time() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100, max_overtake_s=MAX_OVERTAKE_S) as stage:
            crowd = Crowd(stage)
            for model in ("a", "b"):
                crowd.keep_asking(crowd.entry(model), clients=3)

            await asyncio.sleep(600)

            assert crowd.loads() > 600 / (MAX_OVERTAKE_S + 3 * LOAD_S + 2)
            assert crowd.loads() <= 600 / MAX_OVERTAKE_S + 1
            shares = {model: sum(s.model == model for s in crowd.served) for model in "ab"}
            assert min(shares.values()) > 0.7 * max(shares.values()), shares
            await crowd.end()

    run_virtually(main())


def test_requests_that_alternate_do_not_swap_faster_than_the_minimum_residence() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100, min_residence_s=5) as stage:
            crowd = Crowd(stage)
            a, b = crowd.entry("a"), crowd.entry("b")
            begun_s = now_s()

            for _ in range(20):
                await crowd.once(a)
                await crowd.once(b)

            assert crowd.loads() == 40
            assert now_s() - begun_s == pytest.approx(39 * (5 + LOAD_S) + LOAD_S + REQUEST_S)

    run_virtually(main())


def test_a_big_model_is_not_starved_by_small_ones_that_come_and_go() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=300, max_overtake_s=MAX_OVERTAKE_S) as stage:
            crowd = Crowd(stage)
            for model in "abcde":
                crowd.keep_asking(crowd.entry(model), clients=1)
            await asyncio.sleep(60)

            big = await crowd.once(crowd.entry("big", 300))

            bound_s = 2 * (MAX_OVERTAKE_S + LOAD_S + REQUEST_S) + LOAD_S + REQUEST_S
            assert big.started_s - big.arrived_s <= bound_s
            await crowd.end()

    run_virtually(main())


@pytest.mark.parametrize("seed", range(8))
def test_everybody_is_served_in_order_within_a_bound_whatever_comes(seed: int) -> None:
    chance = random.Random(seed)

    async def main() -> None:
        async with a_stage(budget_mb=260, min_residence_s=1, max_overtake_s=5) as stage:
            crowd = Crowd(stage)
            sizes = {"a": 100, "b": 150, "c": 60, "d": 200}
            entries = [crowd.entry(model, size, slots=2) for model, size in sizes.items()]
            tasks = []
            for _ in range(150):
                entry = chance.choice(entries)
                if len(entry.queue.waiting) + len(entry.queue.running) < 10:
                    work = crowd.once(entry, chance.choice([0.1, 1.0, 4.0]))
                    tasks.append(asyncio.create_task(work))
                await asyncio.sleep(chance.random())
                stage.scheduler.check()
            await asyncio.gather(*tasks)

            for model in sizes:
                of_one = [s for s in crowd.served if s.model == model]
                assert of_one == sorted(of_one, key=lambda s: s.arrived_s)
            longest_s = max(s.started_s - s.arrived_s for s in crowd.served)
            assert longest_s < 90

    run_virtually(main())
