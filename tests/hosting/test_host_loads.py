# SPDX-License-Identifier: GPL-3.0-only
"""Loads in real processes and in threads: how they go, break and are given up."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from modeld import Settings
from modeld.errors import LoadFailedError, WorkerCrashedError
from modeld.hosting.channel.frames import Prepared, Progress, Stepped
from modeld.hosting.host import ThreadHosting
from tests.hosting.test_hosted import HeldLink
from tests.support.hosting.leaks import PATIENCE_S, run, until
from tests.support.hosting.rigged import (
    HOSTS,
    RIG,
    SPEC,
    a_hosting,
    ask,
    options,
    start,
    tokens,
)

pytestmark = pytest.mark.usefixtures("measured_processes")


@pytest.mark.parametrize("kind", HOSTS)
def test_progress_of_a_load_is_passed_on(kind: str) -> None:
    async def main() -> None:
        async with a_hosting(kind) as owner:
            told: list[float] = []
            engine = await owner.engine_host(told.append).start(RIG, SPEC, options())
            await engine.aclose()
            assert told[0] == 0.5
            assert told == sorted(told)

    run(main())


def test_progress_that_is_no_part_of_a_load_is_told_as_one() -> None:
    async def main() -> None:
        async with a_hosting() as owner:
            told: list[float] = []
            host = owner.engine_host(told.append)
            for fraction in (-1.0, float("nan"), 0.25, float("inf"), 7.0):
                host.progress(fraction)
            assert told == [0.0, 0.0, 0.25, 1.0, 1.0]

    run(main())


LOAD_FAULTS: dict[str, list[Any]] = {
    "process": ["SIGKILL", "SIGSEGV", "exit 0", "exit 3", "raise", "SystemExit", "garbage", "huge"],
    "thread": ["raise", "SystemExit"],
}


@pytest.mark.parametrize(
    ("kind", "fault"), [(kind, fault) for kind, faults in LOAD_FAULTS.items() for fault in faults]
)
def test_a_load_that_breaks_is_a_failed_load(kind: str, fault: str) -> None:
    async def main() -> None:
        async with a_hosting(kind) as owner:
            with pytest.raises(LoadFailedError) as caught:
                async with asyncio.timeout(PATIENCE_S / 4):
                    await start(owner, load_fault=fault)
            if fault == "raise":
                assert "RuntimeError: the rig was told to fail" in caught.value.message
            if fault.startswith("SIG"):
                assert f"signal {fault}" in caught.value.message
            await (await start(owner)).aclose()

    run(main())


def test_the_last_words_of_a_worker_are_for_the_operator_and_in_no_error_that_clients_get(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with a_hosting() as owner:
            with pytest.raises(LoadFailedError) as raised:
                await start(owner, load_fault="cry GGML_ASSERT(x > 0) failed")
            assert raised.value.message == "the model's process ended: exit 7"
            assert raised.value.log_tail == ("GGML_ASSERT(x > 0) failed",)

    run(main())
    assert "last words of 'rigged': GGML_ASSERT(x > 0) failed" in caplog.text


@pytest.mark.parametrize("kind", HOSTS)
def test_a_load_that_raises_keeps_its_traceback(kind: str) -> None:
    async def main() -> None:
        async with a_hosting(kind) as owner:
            with pytest.raises(LoadFailedError, match="the rig was told to fail") as raised:
                await start(owner, load_fault="raise")
            assert raised.value.log_tail[0] == "Traceback (most recent call last):"
            assert raised.value.log_tail[-1] == "RuntimeError: the rig was told to fail"

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_a_load_that_is_cancelled_leaves_nothing(kind: str, tmp_path: Path) -> None:
    journal, gate = tmp_path / "journal", tmp_path / "gate"

    async def main() -> None:
        async with a_hosting(kind) as owner:
            load = asyncio.create_task(start(owner, journal=str(journal), load_gate=str(gate)))
            await until(journal.exists)
            load.cancel()
            await asyncio.wait([load])
            assert load.cancelled()
            if kind == "thread":
                gate.touch()

    run(main())


def test_a_limit_on_memory_fails_the_load_that_exceeds_it_and_nothing_else() -> None:
    async def main() -> None:
        async with a_hosting(worker_memory_mb=1024) as owner:
            small = await start(owner)
            with pytest.raises(LoadFailedError, match="out of memory"):
                await start(owner, load_fault="allocate 4096")
            assert await ask(small, tokens=3) == tokens(3)
            with pytest.raises(WorkerCrashedError):
                await ask(small, tokens=3, fault="allocate 4096", at=1)
            await small.aclose()

    run(main())


class HeldWorker(HeldLink):
    """A worker that the test answers for."""

    discarded = False

    async def discard(self) -> None:
        self.discarded = True


class HeldHosting(ThreadHosting):
    """Hands out the one worker."""

    def __init__(self, worker: HeldWorker) -> None:
        super().__init__(Settings())
        self._worker = worker

    async def worker(self) -> Any:
        return self._worker


def test_a_worker_that_says_something_else_during_a_load_is_discarded() -> None:
    async def main() -> None:
        worker = HeldWorker()
        load = asyncio.create_task(start(HeldHosting(worker)))
        await until(lambda: worker.sent)
        worker.on_report(Prepared())
        worker.on_report(Progress(fraction=0.5))
        await asyncio.sleep(0)
        assert not load.done(), "these are fine"
        worker.on_report(Stepped(chunks=()))
        with pytest.raises(LoadFailedError, match="sent Stepped where Loaded was due"):
            await load
        assert worker.discarded

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_an_engine_without_slots_is_a_failed_load(kind: str) -> None:
    async def main() -> None:
        async with a_hosting(kind) as owner:
            host = owner.engine_host(lambda _done: None)
            with pytest.raises(LoadFailedError, match=r"AttributeError: .* 'slots'"):
                async with asyncio.timeout(PATIENCE_S / 4):
                    await host.start("modeld_rig.slotless:SlotlessEngine", SPEC, options())

    run(main())
