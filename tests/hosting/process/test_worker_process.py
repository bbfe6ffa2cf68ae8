# SPDX-License-Identifier: GPL-3.0-only
"""Worker processes: how they begin and end, and what surrounds them."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from modeld.hosting.channel.frames import (
    Close,
    Command,
    Prepare,
    Prepared,
    Report,
    Stepped,
    encode,
    report_reader,
)
from modeld.hosting.process import worker_process
from modeld.hosting.process.launch import worker_command, worker_environment
from modeld.hosting.process.worker_process import WorkerProcess
from modeld.hosting.worker.main import EXIT_CHANNEL_BROKEN
from tests.support.hosting.leaks import PATIENCE_S, run, until
from tests.support.hosting.rigged import a_hosting, start


@asynccontextmanager
async def a_worker(memory_mb: int = 0) -> AsyncIterator[WorkerProcess]:
    """Yield a worker that is up; it is killed at the end."""
    worker = await WorkerProcess.spawn(memory_mb)
    prepared = asyncio.Event()
    worker.on_report = lambda _report: prepared.set()
    worker.send(Prepare(imports=()))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await prepared.wait()
        yield worker
    finally:
        async with asyncio.timeout(PATIENCE_S):
            await worker.discard()


def proc(worker: WorkerProcess, name: str) -> Path:
    return Path(f"/proc/{worker.pid}/{name}")


def test_a_worker_reports_when_its_imports_are_done() -> None:
    async def main() -> None:
        worker = await WorkerProcess.spawn()
        reports: asyncio.Queue[Report] = asyncio.Queue()
        worker.on_report = reports.put_nowait
        worker.send(Prepare(imports=(("a", "modeld_rig.engine"), ("b", "no.such.module"))))
        why = "ModuleNotFoundError: No module named 'no'"
        assert await reports.get() == Prepared(failed=(("b", "no.such.module", why),))
        await worker.discard()

    run(main())


def test_a_worker_that_is_told_to_close_exits_well() -> None:
    async def main() -> None:
        async with a_worker() as worker:
            worker.send(Close())
            await worker.aclose()
            assert worker._exit_code == 0
            assert worker.exited.result().cause == "closed"
            worker.send(Close())
            worker.kill("too late", "stall")
            await worker.aclose()

    run(main())


def test_a_worker_that_is_discarded_is_gone_when_that_returns() -> None:
    async def main() -> None:
        worker = await WorkerProcess.spawn()
        await worker.discard()
        assert worker.exited.done()
        assert not proc(worker, "stat").exists()

    run(main())


def test_no_secret_is_in_the_environment_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("MODELD_API_KEY", "MODELD_API_KEY_FILE", "OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET")
    for name in secrets:
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")

    async def main() -> None:
        async with a_worker() as worker:
            environ = proc(worker, "environ").read_bytes()
            assert b"hunter2" not in environ
            assert b"hunter2" not in proc(worker, "cmdline").read_bytes()
            assert not [name for name in secrets if name.encode() in environ]
            variables = environ.split(b"\0")
            assert b"OMP_NUM_THREADS=3" in variables
            assert b"GGML_NO_BACKTRACE=1" in variables
            assert f"PATH={os.environ['PATH']}".encode() in variables

    run(main())


def test_what_runtimes_need_is_kept_in_the_environment() -> None:
    kept = {"PATH": "/bin", "LC_ALL": "C", "CUDA_VISIBLE_DEVICES": "0", "LD_LIBRARY_PATH": "/lib"}

    assert worker_environment(kept | {"SECRET": "x", "LD_PRELOAD": "x", "": "x"}) == kept | {
        "GGML_NO_BACKTRACE": "1"
    }


def test_what_a_backend_has_named_is_kept_in_the_environment_too() -> None:
    environ = {"HF_HOME": "/models", "HF_HOME_TOO": "x", "HF_TOKEN": "hunter2"}

    assert worker_environment(environ, ("HF_HOME", "NOT_SET")) == {
        "HF_HOME": "/models",
        "GGML_NO_BACKTRACE": "1",
    }


def test_a_worker_has_limits_and_is_the_kernels_first_choice() -> None:
    async def main() -> None:
        async with a_worker(memory_mb=1024) as worker:
            limits = {line[:26].strip(): line[26:].split()[:2] for line in _lines(worker, "limits")}
            assert limits["Max core file size"] == ["0", "0"]
            assert limits["Max address space"] == [str(1 << 30), str(1 << 30)]
            assert proc(worker, "oom_score_adj").read_text().strip() == "500"

    run(main())


def test_without_a_limit_there_is_none() -> None:
    async def main() -> None:
        async with a_worker() as worker:
            (line,) = [line for line in _lines(worker, "limits") if "address space" in line]
            assert "unlimited" in line

    run(main())


def test_a_worker_has_its_channel_and_nothing_else_of_ours() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as ours:
            ours.set_inheritable(True)
            async with a_worker() as worker:
                links = {
                    entry.name: str(entry.readlink()) for entry in proc(worker, "fd").iterdir()
                }
                assert links["0"] == "/dev/null"
                assert links["1"] == links["2"]
                assert sum(link.startswith("socket:") for link in links.values()) == 1
                assert f"socket:[{os.fstat(ours.fileno()).st_ino}]" not in links.values()

    run(main())


def test_what_a_worker_prints_goes_to_its_log() -> None:
    async def main() -> None:
        async with a_worker() as worker:
            worker.label("smol")
            worker.send(Prepare(imports=(("rig", "this"),)))
            await until(lambda: any("honking great idea" in line for line in worker.log_tail()))

    run(main())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGRTMIN + 3])
def test_a_worker_that_a_signal_ends_is_noticed(number: int) -> None:
    async def main() -> None:
        worker = await WorkerProcess.spawn()
        os.kill(worker.pid, number)
        await asyncio.wait([worker.exited], timeout=PATIENCE_S / 4)
        assert worker.exited.done(), "nobody has noticed"
        assert worker.exited.result().cause == "signal"

    run(main())


def test_a_worker_that_closes_its_channel_is_killed() -> None:
    """Without a channel it is of no use."""

    async def main() -> None:
        async with a_worker() as worker:
            worker.send(Prepare(imports=(("rig", "modeld_rig.mute"),)))
            async with asyncio.timeout(PATIENCE_S):
                failure = await worker.exited
            assert failure.cause == "garbage"
            assert "it closed its channel" in failure.message

    run(main())


def test_a_worker_that_is_spawned_in_vain_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    async def main() -> None:
        with pytest.raises(OSError, match="/no/such/python"):
            await WorkerProcess.spawn()

    run(main())


@pytest.mark.parametrize("steps", range(8))
def test_a_spawn_that_is_cancelled_leaves_nothing(steps: int) -> None:
    async def main() -> None:
        spawning = asyncio.create_task(WorkerProcess.spawn())
        for _ in range(steps):
            await asyncio.sleep(0)
        spawning.cancel()
        await asyncio.wait([spawning])
        if not spawning.cancelled():
            await spawning.result().discard()
        async with a_worker():
            pass

    run(main())


def test_a_worker_that_does_not_close_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "CLOSE_GRACE_S", 0.1)

    async def main() -> None:
        async with a_worker() as worker:
            os.kill(worker.pid, signal.SIGSTOP)
            async with asyncio.timeout(PATIENCE_S):
                await worker.aclose()
            assert worker.exited.result().cause == "closed"

    run(main())


class Orphanage:
    """A worker whose parent end the test holds itself."""

    def __init__(self, parent_pid: int | None = None) -> None:
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(PATIENCE_S)
        command = worker_command(theirs.fileno(), 0)
        if parent_pid is not None:
            command[command.index(str(os.getpid()))] = str(parent_pid)
        self.child = subprocess.Popen(
            command,
            pass_fds=(theirs.fileno(),),
            stderr=subprocess.DEVNULL,
            env=worker_environment(os.environ),
        )
        theirs.close()

    def prepared(self) -> None:
        self.ours.sendall(encode(Prepare(imports=())))
        assert next(report_reader().feed(self.ours.recv(100))) == Prepared()

    def exit_code(self) -> int:
        with self.ours:
            try:
                return self.child.wait(PATIENCE_S / 2)
            finally:
                self.child.kill()
                self.child.wait()


def test_a_worker_whose_channel_ends_ends_too() -> None:
    orphanage = Orphanage()
    orphanage.prepared()

    orphanage.ours.shutdown(socket.SHUT_WR)

    assert orphanage.exit_code() == EXIT_CHANNEL_BROKEN


def test_a_worker_that_is_sent_garbage_ends() -> None:
    orphanage = Orphanage()
    orphanage.prepared()

    orphanage.ours.sendall(b"\x00\x00\x00\x04\xff\xff\xff\xff")

    assert orphanage.exit_code() == EXIT_CHANNEL_BROKEN


def test_a_worker_that_is_sent_text_that_is_not_utf8_ends() -> None:
    orphanage = Orphanage()
    orphanage.prepared()
    frame = bytearray(encode(Prepare(imports=("xyz",))))
    frame[-1] = 0xFF

    orphanage.ours.sendall(frame)

    assert orphanage.exit_code() == EXIT_CHANNEL_BROKEN


def test_a_worker_that_is_told_nonsense_ends() -> None:
    orphanage = Orphanage()
    orphanage.prepared()
    nonsense: Command = Stepped(chunks=())  # type: ignore[assignment]

    orphanage.ours.sendall(encode(nonsense))

    assert orphanage.exit_code() == EXIT_CHANNEL_BROKEN


def test_a_worker_whose_parent_died_before_it_began_ends_at_once() -> None:
    assert Orphanage(parent_pid=1 << 22).exit_code() == EXIT_CHANNEL_BROKEN


def test_workers_die_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """A warm worker, a busy one, a hanging one and one that still loads."""
    script = Path(__file__).parents[2] / "support" / "hosting" / "doomed_parent.py"
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, script, tmp_path / "never"], stdout=subprocess.PIPE, env=environ
    ) as parent:
        assert parent.stdout is not None
        said, _, _ = select.select([parent.stdout], [], [], PATIENCE_S)
        pids = [int(pid) for pid in parent.stdout.readline().split()] if said else []
        watches = [os.pidfd_open(pid) for pid in pids]

        parent.kill()

        assert len(set(pids)) == 4
        for watch in watches:
            ended, _, _ = select.select([watch], [], [], PATIENCE_S)
            os.close(watch)
            assert ended, "a worker has outlived its parent"


def test_a_worker_keeps_no_zombie_when_it_dies_under_a_load() -> None:
    async def main() -> None:
        async with a_hosting() as owner:
            for _ in range(5):
                engine = await start(owner)
                assert engine.pid is not None
                os.kill(engine.pid, signal.SIGKILL)
                async with asyncio.timeout(PATIENCE_S):
                    await engine.wait_exited()
                await engine.aclose()

    run(main())


def _lines(worker: WorkerProcess, name: str) -> list[str]:
    return proc(worker, name).read_text().splitlines()
