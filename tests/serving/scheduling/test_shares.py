# SPDX-License-Identifier: GPL-3.0-only
"""Many models in a memory for few, on virtual time: equal shares, and bounds that hold.

The figures are those of ``docs/explanation/memory-and-scheduling.md``.
"""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from modeld import Backend, Engine, EngineHost, ModelSpec, Options
from modeld.serving.state.model_entry import ModelEntry
from modeld.testing.doubles.virtual_time import now_s, run_virtually
from tests.support.serving.fakes import FakeEngine
from tests.support.serving.stage import Stage, a_stage

REQUEST_S = 0.17
ROUNDS = 6
FAIR = 1.3

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("unmeasured")]

# A simulation takes seconds, so what fails is shown as it is found and not made smaller.
SLOWLY = settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


class Aging(FakeEngine):
    """Knows how old it has become."""

    def __init__(self, slots: int, ages_s: list[float]) -> None:
        super().__init__(slots=slots)
        self._ages_s = ages_s
        self._ready_s = now_s()

    async def aclose(self) -> None:
        self._ages_s.append(now_s() - self._ready_s)


class Aged(Backend):
    """Loads take ``load_s``; ``ages_s`` is how long each model stayed."""

    name = "aged"

    def __init__(self, load_s: float, slots: int) -> None:
        self.ages_s: list[float] = []
        self._load_s = load_s
        self._slots = slots

    def can_load(self, spec: ModelSpec) -> bool:
        return True

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        await asyncio.sleep(self._load_s)
        return Aging(self._slots, self.ages_s)


@dataclass(frozen=True, kw_only=True)
class Contention:
    """So many models in a memory for ``fit`` of them."""

    models: int
    fit: int
    slots: int = 1
    load_s: float = 0.5
    residence_s: float = 1.0
    overtake_s: float = 10.0

    @property
    def waiting(self) -> int:
        """How many wait for memory while all have work."""
        return self.models - self.fit

    def wait_bound_s(self, term_s: float, longest_s: float = REQUEST_S) -> float:
        """Return the longest wait of who is first in the queue of its model."""
        turn_s = max(self.residence_s, term_s) + 2 * longest_s + self.load_s
        return math.ceil(self.waiting / self.fit) * turn_s

    @property
    def window_s(self) -> float:
        """120 s, or rounds enough that one more or less is no more than a fifth."""
        round_s = self.wait_bound_s(self.overtake_s / self.waiting) + self.load_s
        round_s *= self.models / (math.ceil(self.waiting / self.fit) * self.fit)
        return max(120.0, ROUNDS * round_s)


class Arena:
    """Clients of equal models; who was served how often, and who waited for how long."""

    def __init__(self, stage: Stage, contention: Contention) -> None:
        self._stage = stage
        self.backend = Aged(contention.load_s, contention.slots)
        self.served: Counter[str] = Counter()
        self.waits_s: list[float] = []
        self.ages_s: list[float] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.entries = [self._entry(f"m{n}", contention.slots) for n in range(contention.models)]

    def _entry(self, model: str, slots: int) -> ModelEntry:
        entry = self._stage.entry(model, slots=slots, depth=1000)
        entry.backend = self.backend
        return entry

    async def once(self, entry: ModelEntry, seconds: float = REQUEST_S) -> None:
        sent_s = now_s()
        async with self._stage.pool.lease(entry, max_wait_s=1e6):
            self.waits_s.append(now_s() - sent_s)
            self.served[entry.spec.id] += 1
            await asyncio.sleep(seconds)

    def keep_asking(self, entry: ModelEntry, clients: int, pause_s: Callable[[], float]) -> None:
        async def ask() -> None:
            while True:
                await self.once(entry)
                await asyncio.sleep(pause_s())

        self.tasks += [asyncio.create_task(ask()) for _ in range(clients)]

    async def end(self) -> None:
        self._stage.scheduler.check()
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


def under(
    contention: Contention, act: Callable[[Arena], None], window_s: float | None = None
) -> Arena:
    """Return what has become of it after a while."""

    async def main() -> Arena:
        async with a_stage(
            budget_mb=100 * contention.fit,
            min_residence_s=contention.residence_s,
            max_overtake_s=contention.overtake_s,
        ) as stage:
            arena = Arena(stage, contention)
            act(arena)
            await asyncio.sleep(window_s or contention.window_s)
            await arena.end()
            arena.ages_s = list(arena.backend.ages_s)
        return arena

    return run_virtually(main())


@st.composite
def contentions(draw: st.DrawFn) -> Contention:
    models = draw(st.integers(2, 50))
    fit = draw(st.integers(1, models - 1))
    return Contention(
        models=models,
        fit=fit,
        slots=draw(st.sampled_from([1, 2])),
        load_s=draw(st.sampled_from([0.05, 0.5, 2.0])),
        residence_s=draw(st.sampled_from([1.0, 3.0])),
        overtake_s=draw(st.sampled_from([2.0, 10.0])),
    )


def assert_fair(contention: Contention, clients: int, window_s: float | None = None) -> None:
    def saturate(arena: Arena) -> None:
        for entry in arena.entries:
            arena.keep_asking(entry, clients, lambda: 0.0)

    arena = under(contention, saturate, window_s)

    served = [arena.served[entry.spec.id] for entry in arena.entries]
    assert max(served) <= FAIR * min(served), served
    assert min(arena.ages_s) >= contention.residence_s - 1e-6
    if clients == contention.slots:  # then everybody is first in a queue
        bound_s = contention.wait_bound_s(contention.overtake_s / contention.waiting)
        assert max(arena.waits_s) <= bound_s + contention.load_s


@pytest.mark.parametrize("models", [2, 3, 5])
@pytest.mark.parametrize("clients", [2, 8])
def test_with_the_defaults_shares_are_equal_after_two_minutes(models: int, clients: int) -> None:
    contention = Contention(models=models, fit=1, slots=2)
    assert_fair(contention, clients, 120)


@SLOWLY
@given(contention=contentions(), queued=st.integers(0, 3))
@example(contention=Contention(models=37, fit=21, load_s=0.05), queued=0)  # who claims waits longer
def test_equal_models_have_equal_shares_and_wait_no_longer_than_the_bound(
    contention: Contention, queued: int
) -> None:
    assert_fair(contention, contention.slots + queued)


@SLOWLY
@given(contention=contentions(), seed=st.integers(0, 2**32))
def test_a_model_with_nearly_all_the_traffic_makes_nobody_wait_beyond_the_bound(
    contention: Contention, seed: int
) -> None:
    chance = random.Random(seed)
    light_s: list[float] = []

    def skew(arena: Arena) -> None:
        heavy, *light = arena.entries
        arena.keep_asking(heavy, 9 * contention.slots, lambda: 0.0)

        async def ask(entry: ModelEntry) -> None:
            while True:
                await asyncio.sleep(chance.expovariate(len(light) / 5))
                sent_s = now_s()
                await arena.once(entry)
                light_s.append(now_s() - sent_s - REQUEST_S)

        arena.tasks += [asyncio.create_task(ask(entry)) for entry in light]

    arena = under(contention, skew)

    assert max(light_s) <= contention.wait_bound_s(contention.overtake_s) + contention.load_s
    assert arena.served["m0"] > 0
    assert min(arena.ages_s) >= contention.residence_s - 1e-6


@SLOWLY
@given(contention=contentions(), seed=st.integers(0, 2**32))
def test_bursts_make_nobody_wait_beyond_the_bound(contention: Contention, seed: int) -> None:
    chance = random.Random(seed)
    first_s: list[float] = []

    def burst(arena: Arena) -> None:
        async def one(entry: ModelEntry) -> None:
            is_first = entry.queue.is_empty
            sent_s = now_s()
            await arena.once(entry, chance.choice([0.05, REQUEST_S]))
            if is_first:
                first_s.append(now_s() - sent_s - REQUEST_S)

        async def ask(entry: ModelEntry) -> None:
            while True:
                await asyncio.sleep(chance.expovariate(0.1))
                await asyncio.gather(*(one(entry) for _ in range(chance.randint(1, 12))))

        arena.tasks += [asyncio.create_task(ask(entry)) for entry in arena.entries]

    under(contention, burst)

    assert max(first_s) <= contention.wait_bound_s(contention.overtake_s) + contention.load_s
