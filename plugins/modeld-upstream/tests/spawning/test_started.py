# SPDX-License-Identifier: GPL-3.0-only
"""Servers that are started: ready, stalling, dying, and gone without a trace."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from attached import generated, text_of
from launching import is_there, number, started, until_gone
from modeld_upstream.limits import Limits
from modeld_upstream.spawning.ports import Ports

from modeld.errors import LoadFailedError, WorkerCrashedError


def test_a_server_is_started_and_serves_and_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with started(tmp_path) as engine:
            assert text_of(await generated(engine)) == "Hello"
            assert engine.held_bytes > 1 << 20
            assert engine.pid is not None
            assert "starting" in engine.log_tail()
        await until_gone(number(tmp_path), engine.pid)

    asyncio.run(main())


@pytest.mark.parametrize("does", ["stubborn", "parent"])
def test_nothing_of_a_server_stays(tmp_path: Path, does: str) -> None:
    async def main() -> None:
        async with started(tmp_path, does, stop_timeout_s=0.3):
            pids = [number(tmp_path)] + ([number(tmp_path, "child")] if does == "parent" else [])
            assert all(map(is_there, pids))
        await until_gone(*pids)

    asyncio.run(main())


def test_a_server_that_is_not_well_is_not_ready_and_its_last_words_are_kept(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        with pytest.raises(LoadFailedError, match=r"status 503$") as caught:
            async with started(tmp_path, "sick", start_stall_s=3.0):
                pass
        assert caught.value.log_tail == ("starting",)
        await until_gone(number(tmp_path))

    asyncio.run(main())


def test_a_server_that_says_nothing_stalls(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(LoadFailedError, match=r"written nothing for 3 s"):
            async with started(tmp_path, "silent", start_stall_s=3.0):
                pass
        await until_gone(number(tmp_path))

    asyncio.run(main())


def test_a_server_that_only_talks_has_its_limit_too(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(LoadFailedError, match="not ready after 3 s"):
            async with started(tmp_path, "chatters", start_timeout_s=3.0):
                pass
        await until_gone(number(tmp_path))

    asyncio.run(main())


def test_modelds_own_limit_is_not_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(LoadFailedError, match="stalls"):
            async with started(tmp_path, "silent", limits=Limits(load_s=0.5, stall_s=30)):
                pass

    asyncio.run(main())


def test_the_last_words_of_a_server_that_ends_at_once_are_for_no_client(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(LoadFailedError, match=r"exit 1$") as caught:
            async with started(tmp_path, "fails"):
                pass
        assert caught.value.log_tail == ("starting", "no such model")

    asyncio.run(main())


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(LoadFailedError, match="exit 127") as caught:
            async with started(tmp_path, command="/nowhere {port}"):
                pass
        assert "/nowhere cannot be started" in caught.value.log_tail[-1]

    asyncio.run(main())


def test_a_server_that_dies_under_a_generation_explains_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with started(tmp_path, "dies") as engine:
            with pytest.raises(WorkerCrashedError, match=r"signal SIGABRT$") as caught:
                await generated(engine)
            assert caught.value.cause == "signal"
            assert caught.value.log_tail[-1] == "I am dying"
            assert await engine.wait_exited() is engine.failure()
            with pytest.raises(WorkerCrashedError):
                await generated(engine)

    asyncio.run(main())


def test_a_server_that_is_killed_while_idle_is_noticed(tmp_path: Path) -> None:
    async def main() -> None:
        async with started(tmp_path) as engine:
            os.kill(number(tmp_path), signal.SIGKILL)
            death = await asyncio.wait_for(engine.wait_exited(), 10)
            assert "SIGKILL" in death.message

    asyncio.run(main())


def test_a_load_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        context = started(tmp_path, "silent")
        task = asyncio.create_task(context.__aenter__())
        while not (tmp_path / "pid").exists():  # noqa: ASYNC110  (another process writes it)
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until_gone(number(tmp_path))

    asyncio.run(main())


def test_ports_that_are_taken_are_passed_over(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = Ports()
        assert ports.claim(port, port + 20) != port
        with pytest.raises(LoadFailedError, match=f"all ports from {port} to {port}"):
            ports.claim(port, port)


def test_a_port_is_given_to_one_server_at_a_time_and_comes_back() -> None:
    ports = Ports()
    first = ports.claim(20_000, 20_999)
    with pytest.raises(LoadFailedError):
        ports.claim(first, first)
    ports.release(first)
    assert ports.claim(first, first) == first


def test_a_port_that_somebody_takes_meanwhile_costs_one_more_try(tmp_path: Path) -> None:
    class Blind(Ports):
        """Believes once that a port is free on which somebody listens."""

        def claim(self, first: int, last: int) -> int:
            given.append(taken.getsockname()[1] if not given else super().claim(first, last))
            return given[-1]

    given: list[int] = []

    async def main() -> None:
        async with started(tmp_path, ports=Blind()) as engine:
            assert text_of(await generated(engine)) == "Hello"
            assert len(given) == 2

    with socket.create_server(("127.0.0.1", 0)) as taken:
        asyncio.run(main())


def test_a_server_gets_no_keys_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")

    async def main() -> None:
        async with started(tmp_path, environment={"HF_HOME": "/models"}):
            environment = json.loads((tmp_path / "environment").read_text())
            assert "SOME_API_KEY" not in environment
            assert environment["CUDA_VISIBLE_DEVICES"] == "3"
            assert environment["HF_HOME"] == "/models"

    asyncio.run(main())


MODELD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from launching import started
async def main():
    async with started(Path(sys.argv[2]), sys.argv[3]):
        print("ready", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.mark.parametrize("does", ["stubborn", "parent"])
def test_no_server_outlives_a_modeld_that_is_killed(tmp_path: Path, does: str) -> None:
    support = Path(__file__).parents[1] / "support"
    command = [sys.executable, "-c", MODELD, str(support), str(tmp_path), does]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        pids = [number(tmp_path)] + ([number(tmp_path, "child")] if does == "parent" else [])
        process.kill()
    asyncio.run(until_gone(*pids))


def test_no_server_outlives_a_guard_that_is_killed(tmp_path: Path) -> None:
    async def main() -> None:
        async with started(tmp_path) as engine:
            assert engine.pid is not None
            os.kill(engine.pid, signal.SIGKILL)
            await asyncio.wait_for(engine.wait_exited(), 10)
            await until_gone(number(tmp_path))

    asyncio.run(main())
