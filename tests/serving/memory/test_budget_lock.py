# SPDX-License-Identifier: GPL-3.0-only
"""One memory budget on a machine, held by real processes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modeld import Settings
from modeld.errors import ConfigurationError, StartError
from modeld.machine.files import Machine
from modeld.serving.memory.budget_lock import BudgetLock
from tests.support.serving.counter import Counter, a_counter, a_shelf

BUDGET = Settings(memory_budget_mb=100)

HOLD = """
import os, sys
from modeld import Settings
from modeld.machine.files import Machine
from modeld.serving.memory.budget_lock import BudgetLock
lock = BudgetLock(Settings(memory_budget_mb=100), Machine())
lock.acquire()
"""
SAY_AND_WAIT = """
print("held", flush=True)
sys.stdin.read()
"""
FORK = """
there, here = os.pipe()
if not os.fork():
    os.write(here, b"forked")
    sys.stdin.read()
    os._exit(0)
os.read(there, 6)
"""


@contextmanager
def another(script: str) -> Iterator[subprocess.Popen[str]]:
    """Run a process until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", script, "hold", "the budget", "--key", "secret"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def a_lock(settings: Settings = BUDGET, machine: Machine | None = None) -> BudgetLock:
    return BudgetLock(settings, machine or Machine())


def free() -> None:
    """Take the lock and give it back: it is free."""
    lock = a_lock()
    lock.acquire()
    lock.release()


def test_a_second_process_is_told_who_has_the_budget_and_what_to_do() -> None:
    with another(HOLD + SAY_AND_WAIT) as process:
        with pytest.raises(StartError) as refused:
            a_lock().acquire()
        said = refused.value.message
        assert said.startswith(f"another process (pid {process.pid}: -c hold 'the budget') has")
        assert "memory_budget_mb" in said
        assert "share_machine" in said
        assert refused.value.field == "memory_budget_mb"


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(memory_budget_mb=100, share_machine=True)]
)
def test_without_a_budget_or_with_a_part_of_it_nobody_is_in_the_way(settings: Settings) -> None:
    with another(HOLD + SAY_AND_WAIT):
        a_lock(settings).acquire()


def test_the_budget_is_free_when_its_process_is_killed() -> None:
    with another(HOLD + SAY_AND_WAIT) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        free()


def test_a_process_that_was_forked_off_does_not_keep_the_budget() -> None:
    with another(HOLD + FORK + SAY_AND_WAIT) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        free()  # and its child still runs: it waits for the same input


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_process_that_was_forked_off_does_not_give_the_budget_away() -> None:
    lock = a_lock()
    lock.acquire()
    pid = os.fork()
    if not pid:
        lock.release()
        os._exit(0)
    os.waitpid(pid, 0)
    with pytest.raises(StartError):
        a_lock().acquire()
    lock.release()
    free()


def test_a_second_service_of_one_process_is_told_that() -> None:
    lock, other = a_lock(), a_lock()
    lock.acquire()
    lock.acquire()
    with pytest.raises(StartError, match=r"^another service of this process has .*close it first"):
        other.acquire()
    lock.release()
    other.acquire()
    other.release()
    other.release()


def elsewhere(root: Path, runtime: str | None = None) -> Machine:
    """Return a machine with other folders than this one."""
    return Machine(root=root, environ={} if runtime is None else {"XDG_RUNTIME_DIR": runtime})


@pytest.mark.parametrize("folder", ["tmp", "dev/shm"])
def test_any_folder_will_do(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    lock = a_lock(machine=elsewhere(tmp_path, str(tmp_path / "missing")))
    lock.acquire()
    (file,) = (tmp_path / folder).iterdir()
    assert file.name == f"modeld-{os.geteuid()}.lock"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().startswith(f"{os.getpid()} ")
    with pytest.raises(StartError):
        a_lock(machine=elsewhere(tmp_path)).acquire()
    lock.release()


def test_what_others_have_put_there_is_not_followed(tmp_path: Path) -> None:
    for folder in ("tmp", "dev/shm"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "precious").write_text("stays")
    (tmp_path / "tmp" / f"modeld-{os.geteuid()}.lock").symlink_to(tmp_path / "precious")
    lock = a_lock(machine=elsewhere(tmp_path))
    lock.acquire()
    assert (tmp_path / "precious").read_text() == "stays"
    assert list((tmp_path / "dev/shm").iterdir())
    lock.release()


def test_where_nothing_can_be_written_the_start_goes_on_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "modeld"):
        a_lock(machine=elsewhere(tmp_path)).acquire()
    assert "no folder for a lock" in caplog.text


def test_a_service_has_the_budget_from_its_start_to_its_close() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), memory_budget_mb=150) as counter:
            other = Counter(a_shelf(), memory_budget_mb=150)
            with pytest.raises(StartError):
                await other.service.start()
            await other.service.aclose()
            with pytest.raises(StartError):
                a_lock().acquire()
            await counter.ask("hi")
        free()

    asyncio.run(main())


def test_a_start_that_failed_is_tried_again_with_the_budget_it_has() -> None:
    async def main() -> None:
        models = {"a": {"slotz": 1}}
        counter = Counter(a_shelf(), memory_budget_mb=150, models=models)
        for _ in range(2):
            with pytest.raises(ConfigurationError):
                await counter.service.start()
        await counter.service.aclose()
        free()

    asyncio.run(main())


def test_a_close_that_fails_gives_the_budget_back_all_the_same() -> None:
    async def main() -> None:
        counter = Counter(a_shelf(), memory_budget_mb=150)
        await counter.service.start()

        async def fail() -> None:
            await close()
            raise OSError("a plugin's lifespan broke")

        close = counter.service._pool.aclose
        counter.service._pool.aclose = fail  # type: ignore[method-assign]
        with pytest.raises(OSError, match="lifespan"):
            await counter.service.aclose()
        free()

    asyncio.run(main())
