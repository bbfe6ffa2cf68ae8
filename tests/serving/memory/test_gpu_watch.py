# SPDX-License-Identifier: GPL-3.0-only
"""GPUs that other programs use too: their limits follow, and models leave the one that is short."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from modeld import MemoryEstimate, ModelSpec, Options, Settings
from modeld.errors import BudgetExceededError
from modeld.events import ModelEvicted
from modeld.machine.files import Machine
from modeld.machine.nvml import NvidiaGpu
from modeld.serving.memory.gpu_watch import GpuWatch
from modeld.serving.memory.machine_budget import MachineBudget
from modeld.serving.state.moving_limit import RISE_S
from modeld.status import EvictionReason
from tests.support.doctor.another_machine import GIB, MIB, machine
from tests.support.serving.counter import Counter, SpeakerBackend, a_counter, a_shelf, until

GPU_OF = {"a": "gpu0", "b": "gpu1"}
ON_GPU_MB = 600
MARGIN_MB = 512


class Driver:
    """What NVML tells: two GPUs of 4 GiB, of which models and others use so much."""

    def __init__(self) -> None:
        self.used_mb = [0, 0]
        self.is_there = True

    def __call__(self) -> Sequence[NvidiaGpu] | None:
        if not self.is_there:
            return None
        return [
            NvidiaGpu(f"GPU-{number}", 4 * GIB, used_mb * MIB)
            for number, used_mb in enumerate(self.used_mb)
        ]


def with_gpus(root: Path, driver: Driver) -> Machine:
    text = f"MemTotal: {16 << 20} kB\nMemAvailable: {15 << 20} kB\n"
    files = {"/proc/meminfo": text, "/tmp/.here": "", "/dev/nvidia0": "", "/dev/nvidia1": ""}
    return dataclasses.replace(machine(root, files), nvidia=driver)


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
def on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the backend hold most of each model on a GPU."""

    def estimate(_self: SpeakerBackend, spec: ModelSpec, _options: Options) -> MemoryEstimate:
        on_gpus = {GPU_OF[spec.id]: ON_GPU_MB * MIB}
        return MemoryEstimate(weights_bytes=(ON_GPU_MB + 50) * MIB, on_gpus=on_gpus)

    monkeypatch.setattr(SpeakerBackend, "uses_gpus", lambda _self: True)
    monkeypatch.setattr(SpeakerBackend, "estimate", estimate)


async def look_twice(counter: Counter) -> None:
    for _ in range(2):
        await counter.service._memory.look()


@pytest.mark.usefixtures("on_gpus")
def test_the_model_on_the_gpu_that_another_program_takes_leaves_and_no_other(
    tmp_path: Path, driver: Driver
) -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), machine=with_gpus(tmp_path, driver)) as counter:
            await counter.ask("hi", "a")
            await counter.ask("hi", "b")
            driver.used_mb = [ON_GPU_MB, ON_GPU_MB]  # by the models themselves
            await look_twice(counter)
            assert not counter.notebook.of(ModelEvicted)
            status = await counter.service.status()
            assert {each.device: each.held_bytes >> 20 for each in status.devices} == {
                "main": 100,
                "gpu0": ON_GPU_MB,
                "gpu1": ON_GPU_MB,
            }

            driver.used_mb[1] += 3300
            await look_twice(counter)
            await until(lambda: counter.notebook.of(ModelEvicted))
            (evicted,) = counter.notebook.of(ModelEvicted)
            assert (evicted.model, evicted.reason) == ("b", EvictionReason.MEMORY_PRESSURE)
            budgets = {each.device: each for each in (await counter.service.status()).devices[1:]}
            assert budgets["gpu0"].budget_bytes == (4096 - MARGIN_MB) * MIB
            assert budgets["gpu1"].budget_bytes == (4096 - MARGIN_MB - 3300) * MIB
            assert "less 3300 MiB that others use" in budgets["gpu1"].budget_origin
            driver.used_mb[1] -= ON_GPU_MB
            with pytest.raises(BudgetExceededError, match="gpu1"):
                await counter.ask("hi", "b")
            await counter.ask("hi", "a")

    asyncio.run(main())


def a_watch(root: Path, driver: Driver, limits: list[tuple[str, int]], gpus: Settings) -> GpuWatch:
    backend = SpeakerBackend()
    backend.uses_gpus = lambda: True  # type: ignore[method-assign]
    here = with_gpus(root, driver)
    budget = MachineBudget(gpus, here, [backend])

    def limit(limit_bytes: int, _said: str, device: str) -> None:
        limits.append((device, limit_bytes >> 20))

    return GpuWatch(here, budget.ledger.gpus, limit=limit, kept_bytes=0)


def test_a_limit_rises_when_there_has_been_more_for_a_while(tmp_path: Path, driver: Driver) -> None:
    driver.used_mb = [2000, 0]
    limits: list[tuple[str, int]] = []
    watch = a_watch(tmp_path, driver, limits, Settings())
    driver.used_mb = [0, 0]
    watch.take_in(watch.read(watch.held()), 0.0)
    assert not limits
    watch.take_in(watch.read(watch.held()), RISE_S)
    assert limits == [("gpu0", 4096 - MARGIN_MB)]


def test_what_is_set_is_not_watched(tmp_path: Path, driver: Driver) -> None:
    limits: list[tuple[str, int]] = []
    watch = a_watch(tmp_path, driver, limits, Settings(gpu_budget_mb=1000))
    driver.used_mb = [4000, 4000]
    for now_s in (0.0, 1.0):
        watch.take_in(watch.read(watch.held()), now_s)
    assert not limits
    assert not watch.held()


def test_a_driver_that_tells_nothing_any_more_moves_nothing(tmp_path: Path, driver: Driver) -> None:
    limits: list[tuple[str, int]] = []
    watch = a_watch(tmp_path, driver, limits, Settings())
    driver.is_there = False
    for now_s in (0.0, 1.0):
        watch.take_in(watch.read(watch.held()), now_s)
    assert not limits
    assert not watch.may_fall
