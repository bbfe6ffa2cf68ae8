# SPDX-License-Identifier: GPL-3.0-only
"""Whatever has happened, once the trouble is over everybody gets a response: nobody hangs."""

import asyncio
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modeld.errors import LoadFailedError
from modeld.serving.state.model_entry import ModelEntry
from modeld.testing.doubles.virtual_time import run_virtually, settle
from tests.support.serving.fakes import MIB, FakeBackend, FakeEngine
from tests.support.serving.stage import Stage, a_stage

ESTIMATED_MB = {"a": 100, "b": 100, "c": 30, "d": 30, "e": 60}
MEASURED_MB = {"a": (0, 180), "b": (100, 180), "c": (0, 30), "d": (30, 110), "e": (0, 200)}
BUDGET_MB = 310


class Trouble:
    """Clients that come and go, loads that fail, engines that grow, die and close slowly."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self._stage = stage
        self._chance = chance
        self._engines: list[FakeEngine] = []
        self.entries = [stage.entry(model, size) for model, size in ESTIMATED_MB.items()]

    @property
    def _backend(self) -> FakeBackend:
        return self._stage.backend

    def end_a_load(self) -> None:
        if loads := [model for model, load in self._backend.loads.items() if not load.done()]:
            model = self._chance.choice(loads)
            held_mb = self._chance.choice(MEASURED_MB[model])
            engine = FakeEngine(held_bytes=held_mb * MIB)
            self._engines.append(engine)
            self._backend.loads[model].set_result(engine)

    def fail_a_load(self) -> None:
        if loads := [load for load in self._backend.loads.values() if not load.done()]:
            self._chance.choice(loads).set_exception(LoadFailedError("no"))

    def kill(self) -> None:
        if alive := [engine for engine in self._engines if not engine.closed]:
            self._chance.choice(alive).die()

    def stick(self) -> None:
        for engine in self._engines:
            self._chance.choice([engine.may_close.set, engine.may_close.clear])()

    def let_go(self) -> None:
        if self._stage.clients:
            self._chance.choice(self._stage.clients).may_leave.set()

    def give_up(self) -> None:
        if self._stage.clients:
            self._chance.choice(self._stage.clients).task.cancel()

    async def send(self) -> None:
        entry: ModelEntry = self._chance.choice(self.entries)
        await self._stage.client(entry, needs_slot=self._chance.random() > 0.2)

    async def once(self, number: int) -> None:
        steps = [self.end_a_load, self.end_a_load, self.fail_a_load, self.kill, self.stick]
        steps += [self.let_go, self.let_go, self.give_up]
        if number >= len(steps):
            await self.send()
        else:
            steps[number]()
        await asyncio.sleep(self._chance.choice([0, 0, 0.5, 7]))

    async def end(self) -> None:
        """No more failures: all loads end well, engines close, clients leave when served."""
        for _ in range(400):
            for engine in self._engines:
                engine.may_close.set()
            for client in self._stage.clients:
                client.may_leave.set()
            self.end_a_load()
            await settle()
            if all(client.task.done() for client in self._stage.clients):
                return
            await asyncio.sleep(1)
        waiting = [client for client in self._stage.clients if not client.task.done()]
        states = {p.spec.id: p.status(0).state.value for p in self.entries}
        raise AssertionError(f"{len(waiting)} wait for ever: {states}")


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(numbers=st.lists(st.integers(0, 15), min_size=4, max_size=40), seed=st.integers(0, 2**32))
def test_when_the_trouble_is_over_nobody_waits_for_ever(numbers: list[int], seed: int) -> None:
    async def main() -> None:
        async with a_stage(
            budget_mb=BUDGET_MB, min_residence_s=1.0, max_overtake_s=5.0, load_timeout_s=1e6
        ) as stage:
            trouble = Trouble(stage, random.Random(seed))
            for number in numbers:
                await trouble.once(number)
                stage.scheduler.check()
            await trouble.end()

    run_virtually(main())
