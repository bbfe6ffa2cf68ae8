# SPDX-License-Identifier: GPL-3.0-only
"""Long and short requests on a claimed model, on virtual time: slots in use, nobody starves."""

import asyncio
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modeld.errors import WaitTimeoutError
from modeld.serving.scheduling.backfill import LONG
from modeld.testing.doubles.virtual_time import now_s, run_virtually
from tests.serving.scheduling.test_fairness_over_time import LOAD_S, MAX_OVERTAKE_S, Crowd
from tests.support.serving.stage import Stage, a_stage

SLOTS = 4
SHORT_S = 0.5


class Mixture:
    """Clients of model ``a`` whose requests last as they like; those of ``b`` want its memory."""

    def __init__(self, stage: Stage, chance: random.Random, lengths_s: list[float]) -> None:
        self.stage = stage
        self.crowd = Crowd(stage)
        self.a, self.b = self.crowd.entry("a", slots=SLOTS), self.crowd.entry("b", slots=SLOTS)
        self._chance = chance
        self._lengths_s = lengths_s

    def keep_asking(self, clients: int) -> None:
        async def ask() -> None:
            while not self.crowd.stop.is_set():
                await self.crowd.once(self.a, self._chance.choice(self._lengths_s))
                await asyncio.sleep(self._chance.random())

        self.crowd.tasks += [asyncio.create_task(ask()) for _ in range(clients)]

    async def patience(self, max_wait_s: float) -> float | None:
        """Return how long a request for ``b`` waited; ``None`` if that was too long."""
        sent_s = now_s()
        try:
            async with self.stage.pool.lease(self.b, max_wait_s=max_wait_s):
                return now_s() - sent_s
        except WaitTimeoutError:
            return None


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    lengths_s=st.lists(st.sampled_from([0.1, 0.5, 2.0, 8.0, 30.0]), min_size=1, max_size=6),
    clients=st.integers(1, 12),
    seed=st.integers(0, 2**32),
)
def test_who_waits_is_held_up_by_one_more_request_at_most_whatever_is_let_in(
    lengths_s: list[float], clients: int, seed: int
) -> None:
    """The forecasts are as wrong as can be: the lengths have nothing to do with one another."""
    chance = random.Random(seed)

    async def main() -> None:
        async with a_stage(budget_mb=100, max_overtake_s=MAX_OVERTAKE_S) as stage:
            mixture = Mixture(stage, chance, lengths_s)
            mixture.keep_asking(clients)
            for _ in range(4):
                await asyncio.sleep(chance.uniform(20, 60))
                waited_s = await mixture.patience(1e6)
                assert waited_s is not None
                # What runs before the term begins, at its end, and beside that; and ``a`` may be
                # loaded in between.
                assert waited_s <= MAX_OVERTAKE_S + 3 * max(lengths_s) + 2 * LOAD_S + 0.01
            await mixture.crowd.end()

    run_virtually(main())


@pytest.mark.parametrize("seed", range(4))
def test_slots_stay_in_use_beside_a_long_stream_that_another_model_waits_for(seed: int) -> None:
    """As many short requests are served while it is waited for as otherwise, or nearly."""
    chance = random.Random(seed)

    def short_ones(*, contended: bool) -> int:
        async def main() -> int:
            async with a_stage(budget_mb=100, max_overtake_s=MAX_OVERTAKE_S) as stage:
                mixture = Mixture(stage, chance, [SHORT_S])
                mixture.keep_asking(6)
                await asyncio.sleep(10)
                stream = asyncio.create_task(mixture.crowd.once(mixture.a, 120.0))
                await asyncio.sleep(1)
                begun = len(mixture.crowd.served)
                for _ in range(4):
                    if contended:
                        assert await mixture.patience(30) is None
                    else:
                        await asyncio.sleep(30)
                served = len(mixture.crowd.served) - begun
                mixture.crowd.stop.set()
                await stream
                await mixture.crowd.end()
                return served

        return run_virtually(main())

    assert short_ones(contended=True) >= 0.95 * short_ones(contended=False)


def test_a_claimed_model_is_closed_for_twice_the_mean_at_most_while_it_works() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            mixture = Mixture(stage, random.Random(1), [SHORT_S])
            mixture.keep_asking(6)
            await asyncio.sleep(10)
            stream = asyncio.create_task(mixture.crowd.once(mixture.a, 60.0))
            await asyncio.sleep(0.01)
            unload = asyncio.create_task(stage.pool.unload(mixture.a))
            begun_s = now_s()

            waited = await mixture.crowd.once(mixture.a)

            assert waited.started_s - begun_s <= LONG * mixture.a.queue.mean_s + 2 * SHORT_S
            assert not unload.done()
            await stream
            await unload
            await mixture.crowd.end()

    run_virtually(main())
