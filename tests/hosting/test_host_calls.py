# SPDX-License-Identifier: GPL-3.0-only
"""Functions that a backend has called in a worker, in real processes and in threads."""

import asyncio
from pathlib import Path
from typing import Any

import psutil
import pytest

from modeld.errors import InvalidModelError, LoadFailedError
from modeld.hosting.channel.frames import Prepared, Progress, Returned, Stepped
from modeld.hosting.host import Hosting
from tests.hosting.test_host_loads import HeldHosting, HeldWorker
from tests.support.hosting.leaks import PATIENCE_S, run, until
from tests.support.hosting.rigged import HOSTS, SPEC, a_hosting, ask, options, start, tokens

pytestmark = pytest.mark.usefixtures("measured_processes")

MEASURE = "modeld_rig.dry_run:measure"


async def call(owner: Hosting, function: str = MEASURE, **choices: Any) -> object:
    """Have the function called. ``choices`` are the rig's options."""
    host = owner.engine_host(lambda _done: None)
    return await host.call(function, SPEC, options(**choices))


@pytest.mark.parametrize("kind", HOSTS)
def test_a_function_gets_the_model_and_its_options_and_its_result_comes_back(
    kind: str, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"

    async def main() -> None:
        async with a_hosting(kind) as owner:
            measured = await call(owner, measured_mb=3, journal=str(journal))
            assert measured == {"weights_bytes": 3 << 20}

    run(main())
    assert journal.read_text() == "measure rigged\n"


def test_a_function_runs_in_a_worker_of_its_own_that_is_gone_afterwards(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def main() -> None:
        async with a_hosting() as owner:
            engine = await start(owner)
            calling = asyncio.create_task(call(owner, measured_mb=3, measure_gate=str(gate)))
            await until(lambda: len(psutil.Process().children()) == 2)
            assert await ask(engine, tokens=3) == tokens(3), "nobody waits for it"
            gate.touch()
            await calling
            assert [child.pid for child in psutil.Process().children()] == [engine.pid]
            await engine.aclose()

    run(main())


def test_a_function_is_called_in_a_warm_worker_where_there_is_one() -> None:
    async def main() -> None:
        async with a_hosting(warm_workers=1) as owner:
            (warm_worker,) = psutil.Process().children()
            await call(owner, measured_mb=3)
            assert not warm_worker.is_running()

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_what_a_function_raises_comes_back_as_an_error(kind: str) -> None:
    async def main() -> None:
        async with a_hosting(kind) as owner:
            with pytest.raises(InvalidModelError, match="no such tensor"):
                await call(owner, measure_fault="invalid no such tensor")
            with pytest.raises(LoadFailedError, match="RuntimeError: the rig was told to fail"):
                await call(owner, measure_fault="raise")
            for nowhere in ("no.such.module:x", "modeld_rig.dry_run:nothing", ""):
                with pytest.raises(LoadFailedError):
                    await call(owner, nowhere)

    run(main())


DEATHS = {"process": ["SIGKILL", "exit 0", "exit 3", "SystemExit", "garbage", "huge"]}
DEATHS["thread"] = ["SystemExit"]


@pytest.mark.parametrize(
    ("kind", "fault"), [(kind, fault) for kind, faults in DEATHS.items() for fault in faults]
)
def test_a_worker_that_dies_fails_the_call_and_nothing_else(kind: str, fault: str) -> None:
    async def main() -> None:
        async with a_hosting(kind) as owner:
            with pytest.raises(LoadFailedError) as caught:
                async with asyncio.timeout(PATIENCE_S / 4):
                    await call(owner, measure_fault=fault)
            if fault == "SIGKILL":
                assert "signal SIGKILL" in caught.value.message
            assert await call(owner, measured_mb=1) == {"weights_bytes": 1 << 20}

    run(main())


def test_a_call_that_is_cancelled_kills_its_worker(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def main() -> None:
        async with a_hosting() as owner:
            calling = asyncio.create_task(call(owner, measure_fault="hang", journal=str(journal)))
            await until(lambda: journal.exists() and "fault hang" in journal.read_text())
            calling.cancel()
            await asyncio.wait([calling])
            assert calling.cancelled()
            assert psutil.Process().children() == []

    run(main())


def test_a_call_that_is_cancelled_leaves_its_thread_to_end(tmp_path: Path) -> None:
    journal, gate = tmp_path / "journal", tmp_path / "gate"

    async def main() -> None:
        async with a_hosting("thread") as owner:
            fault = f"block {gate}"
            calling = asyncio.create_task(call(owner, measure_fault=fault, journal=str(journal)))
            await until(lambda: journal.exists() and fault in journal.read_text())
            calling.cancel()
            await asyncio.wait([calling])
            assert calling.cancelled()
            gate.touch()

    run(main())


def test_a_worker_that_says_something_else_during_a_call_is_discarded() -> None:
    async def main() -> None:
        worker = HeldWorker()
        calling = asyncio.create_task(call(HeldHosting(worker)))
        await until(lambda: worker.sent)
        worker.on_report(Prepared())
        worker.on_report(Progress(fraction=0.5))
        worker.on_report(Stepped(chunks=()))
        worker.on_report(Returned(result=1))
        with pytest.raises(LoadFailedError, match="sent Stepped"):
            await calling
        assert worker.discarded

    run(main())
