# SPDX-License-Identifier: GPL-3.0-only
"""Children that are killed while they exit by themselves."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest

from modeld.hosting.channel.frames import Close
from modeld.hosting.process import child as children
from modeld.hosting.process.child import UNKNOWN_EXIT, Child
from modeld.hosting.process.worker_process import WorkerProcess
from tests.support.hosting.leaks import PATIENCE_S, run

RACES = 150


def started(*command: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=stdin, start_new_session=True)


@contextmanager
def no_children_left() -> Iterator[None]:
    before = {each.pid for each in psutil.Process().children()}
    yield
    assert {each.pid for each in psutil.Process().children()} <= before


@pytest.fixture(params=["pidfd", "pid", "poll"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the three ways to wait and to signal, of which a system has one."""
    if request.param != "pidfd":
        monkeypatch.setattr(children, "_pidfd_of", lambda _pid: None)
    if request.param == "poll":
        monkeypatch.delattr(os, "waitid")
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_a_kill_that_meets_the_exit_loses_nothing() -> None:
    """`cat` ends at the end of its input, and is killed at the same moment by another thread."""
    with no_children_left(), ThreadPoolExecutor(2) as pool:
        for _ in range(RACES):
            process = started("cat", stdin=subprocess.PIPE)
            child = Child(process)
            code = pool.submit(child.wait)
            meet = threading.Barrier(2)

            def kill(child: Child = child, meet: threading.Barrier = meet) -> None:
                meet.wait()
                child.kill()

            killing = pool.submit(kill)
            assert process.stdin is not None
            meet.wait()
            process.stdin.close()
            assert code.result(PATIENCE_S) in {0, -signal.SIGKILL}
            killing.result(PATIENCE_S)
            child.kill()


@pytest.mark.usefixtures("way")
def test_a_child_whose_exit_was_taken_in_gets_no_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its number may be somebody else's by then."""
    child = Child(started("true"))
    assert child.wait() == 0

    def signalled(*_arguments: object) -> None:
        raise AssertionError("a signal was sent")

    monkeypatch.setattr(os, "kill", signalled)
    monkeypatch.setattr(signal, "pidfd_send_signal", signalled)
    child.kill()


@pytest.mark.parametrize("has_pidfd", [True, False])
def test_what_somebody_else_has_waited_for_is_gone_too(
    has_pidfd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host may wait for every child that it has."""
    if not has_pidfd:
        monkeypatch.setattr(children, "_pidfd_of", lambda _pid: None)
    process = started("true")
    child = Child(process)
    os.waitpid(process.pid, 0)

    assert child.wait() == UNKNOWN_EXIT
    child.kill()


def test_a_host_that_ignores_the_signals_of_its_children_is_told_of_their_end() -> None:
    script = (
        "import signal, subprocess, sys\n"
        "from modeld.hosting.process.child import Child\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "print(Child(subprocess.Popen(['true'], start_new_session=True)).wait())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    assert int(done.stdout) == UNKNOWN_EXIT


def test_what_a_child_leaves_in_its_group_ends_with_it() -> None:
    process = subprocess.Popen(
        ["sh", "-c", "sleep 3600 & echo $!; exit 3"], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    with process.stdout as said:
        left = psutil.Process(int(said.readline()))
        assert Child(process).wait() == 3
        assert psutil.wait_procs([left], PATIENCE_S) == ([left], [])


def test_workers_that_are_killed_while_they_exit_are_always_noticed() -> None:
    async def race() -> None:
        worker = await WorkerProcess.spawn()
        up = asyncio.Event()
        worker.on_report = lambda _report: up.set()
        worker.send(Close())
        watch = os.pidfd_open(worker.pid)
        loop = asyncio.get_running_loop()
        loop.add_reader(watch, worker.kill, "in the race", "closed")  # at its exit, not after it
        try:
            async with asyncio.timeout(PATIENCE_S):
                await worker.exited
        finally:
            loop.remove_reader(watch)
            os.close(watch)

    async def main() -> None:
        for _ in range(20):
            await race()

    run(main())
