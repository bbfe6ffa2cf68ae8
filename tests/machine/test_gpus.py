# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from modeld.machine.auto_budget import read_gpu_budgets
from modeld.machine.gpus import Gpu, gpus
from modeld.machine.nvml import NvidiaGpu, nvidia_gpus, visible
from tests.support.doctor.another_machine import GIB, MEMINFO, a_gpu, machine

FIRST, SECOND = NvidiaGpu("GPU-aa", 24 * GIB, GIB), NvidiaGpu("GPU-ab", 8 * GIB, 0)


class DriverError(Exception):
    """What the driver's library raises."""


class Driver:
    """The library of a driver that knows two GPUs, or fails at one of its functions."""

    def __init__(self, *, fails_at: str = "") -> None:
        self._fails_at = fails_at
        self.running = 0
        self.library = SimpleNamespace(
            NVMLError=DriverError,
            nvmlInit=self.start,
            nvmlShutdown=self.stop,
            nvmlDeviceGetCount=lambda: 2,
            nvmlDeviceGetHandleByIndex=lambda index: (FIRST, SECOND)[index],
            nvmlDeviceGetMemoryInfo=self.memory,
            nvmlDeviceGetUUID=lambda gpu: gpu.uuid.encode() if gpu is FIRST else gpu.uuid,
        )

    def start(self) -> None:
        self._fail("start")
        self.running += 1

    def stop(self) -> None:
        self.running -= 1

    def memory(self, gpu: NvidiaGpu) -> SimpleNamespace:
        self._fail("memory")
        return SimpleNamespace(total=gpu.size_bytes, used=gpu.used_bytes)

    def _fail(self, where: str) -> None:
        if where == self._fails_at:
            raise DriverError(where)


def test_the_drivers_library_tells_of_all_gpus() -> None:
    driver = Driver()
    assert nvidia_gpus(lambda _name: driver.library) == [FIRST, SECOND]
    assert driver.running == 0


@pytest.mark.parametrize("where", ["start", "memory"])
def test_a_driver_that_fails_tells_nothing(where: str) -> None:
    driver = Driver(fails_at=where)
    assert nvidia_gpus(lambda _name: driver.library) is None
    assert driver.running == 0


def test_without_the_library_nobody_tells() -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    assert nvidia_gpus(missing) is None


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        (None, [FIRST, SECOND]),
        ("", []),
        ("-1", []),
        ("1", [SECOND]),
        ("1, 0", [SECOND, FIRST]),
        ("0,7,1", [FIRST]),
        ("GPU-ab", [SECOND]),
        ("GPU-a", []),
        ("MIG-aa", None),
    ],
)
def test_the_variable_of_the_driver_chooses(chosen: str | None, found: object) -> None:
    assert visible([FIRST, SECOND], chosen) == found


def test_gpus_of_nvidias_are_known_where_the_driver_tells(tmp_path: Any) -> None:
    files = {"/proc/meminfo": MEMINFO, "/dev/nvidia0": "", "/dev/nvidia1": ""}
    two = [Gpu("the GPU", 24 * GIB, GIB), Gpu("the GPU", 8 * GIB, 0)]
    assert list(gpus(machine(tmp_path, files, nvidia=lambda: [FIRST, SECOND]))) == two
    chosen = {"CUDA_VISIBLE_DEVICES": "1"}
    here = machine(tmp_path, files, nvidia=lambda: [FIRST, SECOND], environ=chosen)
    assert list(gpus(here)) == two[1:]
    for told in (None, []):
        here = machine(tmp_path, files, nvidia=lambda told=told: told)
        assert [each.size_bytes for each in gpus(here)] == [None, None]


def test_without_a_device_the_driver_is_not_asked(tmp_path: Any) -> None:
    def asked() -> Any:
        raise AssertionError("it was asked")

    assert list(gpus(machine(tmp_path, nvidia=asked))) == []


def test_models_may_have_the_memory_of_each_gpu_less_a_margin(tmp_path: Any) -> None:
    used = {"mem_info_vram_used": 2 * GIB}
    a_gpu(tmp_path, 128, "amdgpu", mem_info_vram_total=20 * GIB, **used)
    budgets = read_gpu_budgets(a_gpu(tmp_path, 129, "amdgpu", mem_info_vram_total=10 * GIB))
    autos = {name: each.auto for name, each in budgets.items()}
    assert {name: (auto.size_bytes, auto.most_bytes) for name, auto in autos.items()} == {
        "gpu0": (16 * GIB, 18 * GIB),
        "gpu1": (9 * GIB, 9 * GIB),
    }
    assert autos["gpu0"].said == (
        "auto: 20480 MiB of GPU memory, less 2048 MiB that others use and a margin of 2048 MiB"
    )
    assert budgets["gpu1"].capacity == (10 * GIB, "10240 MiB of memory on that GPU")


def test_the_drivers_gpus_have_a_budget_each(tmp_path: Any) -> None:
    here = machine(
        tmp_path, {"/dev/nvidia0": "", "/dev/nvidia1": ""}, nvidia=lambda: [FIRST, SECOND]
    )
    budgets = read_gpu_budgets(here)
    sizes = [each.capacity.size_bytes for each in budgets.values()]
    assert list(budgets) == ["gpu0", "gpu1"]
    assert sizes == [FIRST.size_bytes, SECOND.size_bytes]


def test_where_the_memory_of_a_gpu_is_not_known_nothing_is_limited(tmp_path: Any) -> None:
    (budget,) = read_gpu_budgets(machine(tmp_path, {"/dev/nvidia0": ""})).values()
    assert (budget.auto.size_bytes, budget.auto.most_bytes) == (None, None)
    assert budget.capacity.size_bytes is None
    assert "the memory of the GPU /dev/nvidia0 is not known here" in budget.auto.said


@pytest.mark.parametrize("driver", ["i915", "virtio_gpu"])
def test_gpus_that_share_main_memory_have_no_budget_of_their_own(
    tmp_path: Any, driver: str
) -> None:
    assert read_gpu_budgets(a_gpu(tmp_path, 128, driver)) == {}
