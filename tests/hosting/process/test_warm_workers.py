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
from modeld.hosting.host import hosting
from modeld.hosting.process import warm_workers
from modeld.hosting.process.warm_workers import WarmWorkers
from modeld.hosting.process.worker_process import WorkerProcess
from tests.support.hosting.leaks import PATIENCE_S, run, until
from tests.support.hosting.rigged import a_hosting, ask, start, tokens


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_workers, "REFILL_DELAY_S", 0.0)


@asynccontextmanager
async def a_pool(count: int, imports: tuple[str, ...] = ()) -> AsyncIterator[WarmWorkers]:
    pool = WarmWorkers(count, imports)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.aclose()
    assert len(pool) == 0


def pids(pool: WarmWorkers) -> list[int]:
    return [warm_worker.pid for warm_worker in pool._warm_workers]


def test_warm_workers_are_started_ahead_and_taken_in_turn() -> None:
    async def main() -> None:
        async with a_pool(2) as pool:
            assert len(pool) == 2
            expected = pids(pool)[0]
            worker = await pool.take()
            assert worker.pid == expected
            await worker.discard()

    run(main())


def test_a_taken_warm_worker_is_replaced() -> None:
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
    monkeypatch.setattr(warm_workers, "REFILL_DELAY_S", 3600.0)

    async def main() -> None:
        async with a_pool(1) as pool:
            worker = await pool.take()
            await worker.discard()
            assert len(pool) == 0

    run(main())


def test_with_no_warm_worker_left_a_worker_is_started_for_the_load() -> None:
    async def main() -> None:
        async with a_pool(1) as pool:
            workers = [await pool.take() for _ in range(3)]
            assert len({worker.pid for worker in workers}) == 3
            await asyncio.gather(*(worker.discard() for worker in workers))

    run(main())


def test_no_warm_workers_are_kept_where_none_are_wanted() -> None:
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


def test_a_dead_warm_worker_is_not_handed_out_and_not_counted() -> None:
    async def main() -> None:
        async with a_pool(2) as pool:
            dead, alive = pool._warm_workers
            await kill(dead)
            assert len(pool) == 1
            worker = await pool.take()
            assert worker is alive
            await until(lambda: len(pool) == 2)
            await worker.discard()

    run(main())


def test_where_all_warm_workers_are_dead_a_worker_is_started() -> None:
    async def main() -> None:
        async with a_pool(2) as pool:
            for warm_worker in list(pool._warm_workers):
                await kill(warm_worker)
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


def test_a_warm_worker_has_its_imports_done_before_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "heavy_runtime.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_name('imported').touch()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    async def main() -> None:
        async with a_pool(1, (("rig", "heavy_runtime"),)):
            await until((tmp_path / "imported").exists)

    run(main())


def test_a_failed_import_is_blamed_once_on_whose_it_is_and_the_warm_worker_is_still_a_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with a_pool(2, (("frail", "no.such.module"),)) as pool:
            warm_worker = pool._warm_workers[0]
            await until(lambda: pool._told)
            assert await pool.take() is warm_worker
            await until(lambda: len(pool) == 2)
            assert not warm_worker.log_tail(), (
                "what is loaded next would get these lines for its own"
            )
            await warm_worker.discard()

    run(main())
    said = [r.getMessage() for r in caplog.records if "warm import" in r.getMessage()]
    (line,) = said
    assert line.startswith("backend 'frail': its warm import of no.such.module failed:")
    assert line.endswith("ModuleNotFoundError: No module named 'no'")


def test_an_import_that_raises_what_cannot_be_written_or_sent_leaves_a_worker(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mute_module.py").write_text(
        "from modeld_rig.engine import *\nraise UnspeakableError"
    )
    (tmp_path / "half_module.py").write_text(r"raise ImportError('/\udcff.so')")

    async def main() -> None:
        async with a_pool(1, (("a", "mute_module"), ("b", "half_module"))) as pool:
            await until(lambda: len(pool._told) == 2)
            assert len(pool) == 1

    run(main())
    assert "mute_module failed: UnspeakableError: (which raises RuntimeError" in caplog.text
    assert r"half_module failed: ImportError: /\udcff.so" in caplog.text


def test_who_takes_a_warm_worker_before_its_imports_are_done_hears_nothing_of_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with a_hosting(warm_workers=1) as owner:
            owner._warm_workers._imports = (("frail", "no.such.module"),)  # type: ignore[attr-defined]
            engines = [await start(owner) for _ in range(2)]
            await until(lambda: owner._warm_workers._told)  # type: ignore[attr-defined]
            for engine in engines:
                assert not any("no.such.module" in line for line in engine.log_tail())
                await engine.aclose()

    run(main())
    assert "backend 'frail': its warm import" in caplog.text


def test_a_warm_worker_that_is_killed_is_replaced_without_a_load(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with a_pool(2) as pool:
            before = set(pids(pool))
            await kill(pool._warm_workers[0])
            await until(lambda: len(pool) == 2)
            assert len(set(pids(pool)) - before) == 1

    run(main())
    (said,) = [r.getMessage() for r in caplog.records]
    assert "ended before any load: the model's process ended: signal SIGKILL" in said


def test_two_replacements_at_once_are_no_warm_worker_too_many() -> None:
    async def main() -> None:
        async with a_pool(1) as pool:
            await pool._warm_workers[0].discard()
            await asyncio.gather(pool._fill(), pool._fill())
            assert len(pool) == 1

    run(main())


def test_warm_workers_that_keep_dying_are_started_less_and_less_often() -> None:
    pool = WarmWorkers.__new__(WarmWorkers)
    pool._deaths, pool._died_s = 0, -warm_workers.LONGEST_RETRY_S
    assert [pool._retry_s(float(now)) for now in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert pool._retry_s(8 + warm_workers.LONGEST_RETRY_S) == 0


def test_a_warm_worker_that_was_taken_forgets_the_deaths_before_it() -> None:
    async def main() -> None:
        async with a_pool(1) as pool:
            await kill(pool._warm_workers[0])
            await until(lambda: len(pool) == 1)
            assert pool._deaths == 1
            await (await pool.take()).discard()
            assert pool._deaths == 0

    run(main())


def test_a_load_takes_a_warm_worker_and_the_next_one_too() -> None:
    async def main() -> None:
        async with a_hosting(warm_workers=1) as owner:
            assert owner.warm_workers == 1
            (warm_worker,) = pids(owner._warm_workers)  # type: ignore[attr-defined]
            first = await start(owner)
            assert first.pid == warm_worker
            await until(lambda: owner.warm_workers == 1)
            second = await start(owner)
            assert second.pid != first.pid
            assert await ask(second, tokens=3) == tokens(3)
            await first.aclose()
            await second.aclose()

    run(main())


def test_without_a_backend_no_warm_worker_is_started() -> None:
    async def main() -> None:
        owner = hosting(Settings(warm_workers=3), ())
        await owner.start()
        assert owner.warm_workers == 0
        await owner.aclose()

    run(main())
