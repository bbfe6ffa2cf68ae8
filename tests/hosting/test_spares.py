# SPDX-License-Identifier: GPL-3.0-only
"""Workers started ahead of the loads that will take them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from modeld import Settings
from modeld.hosting import spares
from modeld.hosting.host import hosting
from modeld.hosting.process import WorkerProcess
from modeld.hosting.spares import SparePool
from tests.hosting.leaks import PATIENCE_S, run, until
from tests.hosting.rigged import a_hosting, ask, start, tokens


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spares, "REFILL_DELAY_S", 0.0)


@asynccontextmanager
async def a_pool(count: int, imports: tuple[str, ...] = ()) -> AsyncIterator[SparePool]:
    pool = SparePool(count, imports)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.aclose()
    assert len(pool) == 0


def pids(pool: SparePool) -> list[int]:
    return [spare.pid for spare in pool._spares]


def test_spares_are_started_ahead_and_taken_in_turn() -> None:
    async def main() -> None:
        async with a_pool(2) as pool:
            assert len(pool) == 2
            expected = pids(pool)[0]
            worker = await pool.take()
            assert worker.pid == expected
            await worker.discard()

    run(main())


def test_a_taken_spare_is_replaced() -> None:
    async def main() -> None:
        async with a_pool(1) as pool:
            taken = [await pool.take()]
            await until(lambda: len(pool) == 1)
            taken.append(await pool.take())
            await until(lambda: len(pool) == 1)
            assert len({worker.pid for worker in taken} | set(pids(pool))) == 3
            await asyncio.gather(*(worker.discard() for worker in taken))

    run(main())


def test_the_replacement_waits_so_that_the_load_has_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spares, "REFILL_DELAY_S", 3600.0)

    async def main() -> None:
        async with a_pool(1) as pool:
            worker = await pool.take()
            await worker.discard()
            assert len(pool) == 0

    run(main())


def test_with_no_spare_left_a_worker_is_started_for_the_load() -> None:
    async def main() -> None:
        async with a_pool(1) as pool:
            workers = [await pool.take() for _ in range(3)]
            assert len({worker.pid for worker in workers}) == 3
            await asyncio.gather(*(worker.discard() for worker in workers))

    run(main())


def test_no_spares_are_kept_where_none_are_wanted() -> None:
    async def main() -> None:
        async with a_pool(0) as pool:
            assert len(pool) == 0
            await (await pool.take()).discard()
            assert len(pool) == 0
            assert not pool._tasks._tasks

    run(main())


async def kill(worker: WorkerProcess) -> None:
    os.kill(worker.pid, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.shield(worker.exited)


def test_a_dead_spare_is_not_handed_out_and_not_counted() -> None:
    async def main() -> None:
        async with a_pool(2) as pool:
            dead, alive = pool._spares
            await kill(dead)
            assert len(pool) == 1
            worker = await pool.take()
            assert worker is alive
            await until(lambda: len(pool) == 2)
            await worker.discard()

    run(main())


def test_where_all_spares_are_dead_a_worker_is_started() -> None:
    async def main() -> None:
        async with a_pool(2) as pool:
            for spare in list(pool._spares):
                await kill(spare)
            worker = await pool.take()
            assert not worker.exited.done()
            await worker.discard()

    run(main())


@pytest.mark.parametrize("steps", range(6))
def test_closing_at_any_moment_of_a_replacement_leaves_nothing(steps: int) -> None:
    async def main() -> None:
        async with a_pool(1) as pool:
            await (await pool.take()).discard()
            for _ in range(steps):
                await asyncio.sleep(0)

    run(main())


def test_a_spare_has_its_imports_done_before_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heavy_runtime.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_name('imported').touch()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    async def main() -> None:
        async with a_pool(1, ("heavy_runtime",)):
            await until((tmp_path / "imported").exists)

    run(main())


def test_a_spare_whose_imports_fail_is_still_a_worker() -> None:
    async def main() -> None:
        async with a_pool(1, ("no.such.module",)) as pool:
            (spare,) = pool._spares
            await until(lambda: any("No module" in line for line in spare.log_tail()))
            assert await pool.take() is spare
            await spare.discard()

    run(main())


def test_a_load_takes_a_spare_and_the_next_one_too() -> None:
    async def main() -> None:
        async with a_hosting(spare_workers=1) as owner:
            assert owner.spares == 1
            (spare,) = pids(owner._spares)  # type: ignore[attr-defined]
            first = await start(owner)
            assert first.pid == spare
            await until(lambda: owner.spares == 1)
            second = await start(owner)
            assert second.pid != first.pid
            assert await ask(second, tokens=3) == tokens(3)
            await first.aclose()
            await second.aclose()

    run(main())


def test_without_a_backend_no_spare_is_started() -> None:
    async def main() -> None:
        owner = hosting(Settings(spare_workers=3), ())
        await owner.start()
        assert owner.spares == 0
        await owner.aclose()

    run(main())
