# SPDX-License-Identifier: GPL-3.0-only
"""A service whose budget is what other programs leave, on a machine that the test makes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from modeld import Settings
from modeld.errors import BudgetExceededError, ModelExceedsBudgetError
from modeld.events import ModelEvicted
from modeld.machine.auto_budget import read_auto_budget
from modeld.machine.files import Machine
from modeld.serving.memory.machine_budget import MachineBudget
from modeld.serving.memory.memory_watch import MemoryWatch
from modeld.serving.memory.neighbours import Neighbours
from modeld.serving.state.budget import DeviceLimit, Ledger
from modeld.serving.state.moving_limit import RISE_S
from modeld.status import EvictionReason
from tests.support.doctor.another_machine import GIB, MIB, a_gpu, machine
from tests.support.serving.counter import (
    Counter,
    Speaker,
    SpeakerBackend,
    a_counter,
    a_shelf,
    until,
)
from tests.support.serving.fakes import Clock

TOTAL_MB = 4096
MARGIN_MB = 512


def with_available(root: Path, available_mb: int) -> Machine:
    """Return the machine with so much available for others, and its margin beside it."""
    available_kb = (available_mb + MARGIN_MB) << 10
    text = f"MemTotal: {TOTAL_MB << 10} kB\nMemAvailable: {available_kb} kB\n"
    return machine(root, {"/proc/meminfo": text, "/tmp/.here": ""})


async def look_twice(counter: Counter) -> None:
    """Have a change be seen, and seen again."""
    for _ in range(2):
        await counter.service._memory.look()


def test_the_budget_is_what_others_leave_and_the_status_says_how(tmp_path: Path) -> None:
    async def main() -> None:
        here = with_available(tmp_path, 1000)
        async with a_counter(a_shelf(), machine=here, memory_margin_mb=10) as counter:
            status = await counter.service.status()
            assert status.budget_bytes == 1000 * MIB
            assert status.margin_bytes == 10 * MIB
            assert status.budget_origin == (
                "auto: 4096 MiB of main memory, less 2584 MiB that others use and a margin of"
                " 512 MiB"
            )
            await counter.ask("hi")

    asyncio.run(main())


def test_another_programs_growth_sends_idle_models_away(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), machine=with_available(tmp_path, 1000)) as counter:
            await counter.ask("hi", "a")
            await counter.ask("hi", "b")
            with_available(tmp_path, 150)
            await look_twice(counter)
            assert (await counter.service.status()).budget_bytes == 150 * MIB
            await until(lambda: counter.notebook.of(ModelEvicted))
            (evicted,) = counter.notebook.of(ModelEvicted)
            assert (evicted.model, evicted.reason) == ("a", EvictionReason.MEMORY_PRESSURE)
            with_available(tmp_path, 0)
            await look_twice(counter)
            with pytest.raises(BudgetExceededError, match="models may have 0 MiB now"):
                await counter.ask("hi", "a")

    asyncio.run(main())


def test_what_not_even_the_whole_machine_could_hold_is_refused_for_good(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), machine=with_available(tmp_path, 1000)) as counter:
            counter.backend.estimate_mb = TOTAL_MB - MARGIN_MB + 1
            with pytest.raises(ModelExceedsBudgetError, match="1 MiB more than the 3584 MiB"):
                await counter.ask("hi")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("budget_mb", "level", "says"),
    [
        ("auto", logging.INFO, "the memory budget is 1000 MiB (auto: 4096 MiB of main memory, "),
        (150, logging.INFO, "the memory budget is 150 MiB (memory_budget_mb)"),
        (0, logging.WARNING, "the memory budget is unlimited (memory_budget_mb 0)"),
    ],
)
def test_the_start_says_what_the_budget_is(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    budget_mb: int | str,
    level: int,
    says: str,
) -> None:
    async def main() -> None:
        here = with_available(tmp_path, 1000)
        async with a_counter(a_shelf(), machine=here, memory_budget_mb=budget_mb):
            pass

    with caplog.at_level(logging.INFO, "modeld.budget"):
        asyncio.run(main())
    (record,) = [each for each in caplog.records if each.name == "modeld.budget"]
    assert record.getMessage().startswith(says)
    assert record.levelno == level


def test_where_the_machine_does_not_tell_nothing_is_limited_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), machine=machine(tmp_path)) as counter:
            await counter.ask("hi")
            assert (await counter.service.status()).budget_bytes is None

    with caplog.at_level(logging.WARNING, "modeld.budget"):
        asyncio.run(main())
    assert "the system does not tell how much memory there is; set memory_budget_mb" in caplog.text


def test_where_a_backend_uses_gpus_each_of_them_has_a_budget_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = a_gpu(tmp_path, 128, "amdgpu", mem_info_vram_total=10 * GIB)
    backend = SpeakerBackend()
    assert not MachineBudget(Settings(), here, [backend]).ledger.gpus
    backend.uses_gpus = lambda: True  # type: ignore[method-assign]
    budget = MachineBudget(Settings(memory_margin_mb=1024), here, [backend])
    gpu = budget.ledger.gpus["gpu0"]
    assert (budget.size_of(gpu), gpu.limit_bytes, gpu.capacity_bytes) == (
        9 * GIB,
        8 * GIB,
        10 * GIB,
    )
    assert gpu.said.startswith("auto: 10240 MiB of GPU memory, less 0 MiB that others use ")
    assert budget.ledger.capacity.main == 16 * GIB
    assert budget.said.startswith("auto: 16384 MiB of main memory")
    assert [each.device for each in budget.statuses()] == ["main", "gpu0"]


@pytest.mark.parametrize(
    ("given", "limits_mb"),
    [
        ("auto", [9 << 10, 18 << 10]),
        (500, [500, 500]),
        ({"1": 700}, [9 << 10, 700]),
        ({"0": 0, "1": 700}, [None, 700]),
        (0, [None, None]),
    ],
)
def test_the_budget_of_gpus_is_set_for_all_or_for_each(
    tmp_path: Path, given: Any, limits_mb: list[int | None]
) -> None:
    a_gpu(tmp_path, 128, "amdgpu", mem_info_vram_total=10 * GIB)
    here = a_gpu(tmp_path, 129, "amdgpu", mem_info_vram_total=20 * GIB)
    backend = SpeakerBackend()
    backend.uses_gpus = lambda: True  # type: ignore[method-assign]
    budget = MachineBudget(Settings(gpu_budget_mb=given), here, [backend])
    limits = [each.limit_bytes for each in budget.ledger.gpus.values()]
    assert limits == [each if each is None else each * MIB for each in limits_mb]


def test_a_backend_that_cannot_say_whether_it_uses_gpus_uses_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = a_gpu(tmp_path, 128, "amdgpu", mem_info_vram_total=10 * GIB)
    backend = SpeakerBackend()

    def broken() -> bool:
        raise ZeroDivisionError("a bug")

    backend.uses_gpus = broken  # type: ignore[method-assign]
    assert MachineBudget(Settings(), here, [backend]).said.startswith("auto: 16384 MiB of main")
    assert "uses_gpus raised ZeroDivisionError" in caplog.text


class Workers:
    """Holds models in processes, and hears of limits."""

    def __init__(self, *pids: int) -> None:
        self.pids = pids
        self.limits: list[int] = []

    def limit(self, limit_bytes: int, said: str, device: str) -> None:
        assert device == "main"
        assert said.startswith("auto: ")
        self.limits.append(limit_bytes >> 20)


def a_watch(
    here: Machine, workers: Workers, clock: Clock, kept_mb: int = 0, sessions_mb: int = 0
) -> MemoryWatch:
    budget = read_auto_budget(here)
    assert budget.size_bytes is not None
    limit_bytes = budget.size_bytes - kept_mb * MIB
    ledger = Ledger(DeviceLimit(limit_bytes, most_bytes=budget.most_bytes))
    ledger.reserve("a", 300 * MIB)
    return MemoryWatch(
        here,
        ledger,
        Neighbours(here),
        workers=lambda: workers.pids,
        entries={},
        limit=workers.limit,
        sessions=lambda: sessions_mb * MIB,
        margin_bytes=budget.margin_bytes,
        kept_bytes=kept_mb * MIB,
        clock=clock,
    )


def test_a_machine_that_is_given_more_than_it_had_goes_on_being_watched(tmp_path: Path) -> None:
    here, workers, clock = with_available(tmp_path, TOTAL_MB), Workers(7), Clock()
    watch = a_watch(here, workers, clock)

    async def main() -> None:
        meminfo = here.path("/proc/meminfo")
        larger = meminfo.read_text().replace(f"{TOTAL_MB << 10} kB", f"{TOTAL_MB << 11} kB")
        meminfo.write_text(larger)
        for _ in range(2):
            clock.now_s += 60
            await watch.look()
        with_available(tmp_path, 700)
        for _ in range(2):
            await watch.look()
        assert workers.limits

    asyncio.run(main())


def test_what_absent_models_have_left_is_nobody_elses_either(tmp_path: Path) -> None:
    here, workers, clock = with_available(tmp_path, 1000), Workers(7), Clock()
    watch = a_watch(here, workers, clock, sessions_mb=200)

    async def main() -> None:
        with_available(tmp_path, 800)
        for _ in range(2):
            await watch.look()
        assert workers.limits == []

    asyncio.run(main())


def test_what_models_hold_themselves_is_nobody_elses(tmp_path: Path) -> None:
    here, workers, clock = with_available(tmp_path, 1000), Workers(7), Clock()
    watch = a_watch(here, workers, clock, kept_mb=100)

    async def main() -> None:
        status = here.path("/proc/7/status")
        status.parent.mkdir()
        status.write_text(f"RssAnon: {300 << 10} kB\n")
        with_available(tmp_path, 700)
        for _ in range(2):
            await watch.look()
        assert workers.limits == []
        status.write_text(f"RssAnon: {500 << 10} kB\n")  # 200 more than it has reserved
        with_available(tmp_path, 500)
        for _ in range(2):
            await watch.look()
        assert workers.limits == [700]

    asyncio.run(main())


def test_memory_that_others_give_back_counts_once_it_stays(tmp_path: Path) -> None:
    here, workers, clock = with_available(tmp_path, 500), Workers(), Clock()
    watch = a_watch(here, workers, clock)

    async def main() -> None:
        with_available(tmp_path, 2000)
        await watch.look()
        clock.now_s += RISE_S
        with_available(tmp_path, 1500)
        await watch.look()

    asyncio.run(main())
    assert workers.limits == [1500]


def test_a_server_that_a_backend_has_started_holds_what_its_session_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def process(pid: int, session: int, anonymous_mb: int) -> None:
        folder = tmp_path / "proc" / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} (a (b) c) S 1 {session} {session} 0 -1\n")
        (folder / "status").write_text(f"RssAnon: {anonymous_mb << 10} kB\n")

    async def main() -> None:
        here = with_available(tmp_path, 1000)
        monkeypatch.setattr(Speaker, "pid", 7)
        process(7, 7, 0)
        process(8, 7, 100)
        process(9, 9, 300)
        async with a_counter(a_shelf(), machine=here) as counter:
            counter.backend.estimate_mb = 500
            await counter.ask("hi")
            with_available(tmp_path, 1000 - 100 - 300)
            await look_twice(counter)
            assert (await counter.service.status()).budget_bytes == 700 * MIB

    asyncio.run(main())


def test_two_servers_count_what_the_other_has_promised(tmp_path: Path) -> None:
    async def main() -> None:
        here = with_available(tmp_path, 1000)
        async with a_counter(a_shelf(), machine=here) as one:
            await one.ask("hi")
            await one.service._memory.look()
            async with a_counter(a_shelf(), machine=here) as other:
                status = await other.service.status()
                assert status.budget_bytes == 900 * MIB
            assert (await one.service.status()).budget_bytes == 1000 * MIB
        assert Neighbours(here).hidden_bytes() == 0

    asyncio.run(main())


def test_of_looks_that_fail_in_a_row_the_first_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch = a_watch(with_available(tmp_path, 1000), Workers(7), Clock())
    looks = iter([OSError(), OSError(), None, OSError(), asyncio.CancelledError()])

    async def look() -> None:
        outcome = next(looks)
        if outcome is not None:
            raise outcome

    monkeypatch.setattr(watch, "look", look)
    monkeypatch.setattr("modeld.serving.memory.memory_watch.LOOK_EVERY_S", 0)
    with caplog.at_level(logging.ERROR), pytest.raises(asyncio.CancelledError):
        asyncio.run(watch.run())
    assert caplog.text.count("the memory could not be looked at") == 2
