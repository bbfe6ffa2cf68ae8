# SPDX-License-Identifier: GPL-3.0-only
"""Shows that a test leaves no descriptor, no child (zombies too) and no thread behind."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

PATIENCE_S = 10.0
"""How long a test waits for what must happen; only a failing test waits that long."""

WORKER = "modeld-worker"
"""What workers are named, in ``ps`` too."""

T = TypeVar("T")


async def until(holds: Callable[[], object]) -> None:
    """Return when ``holds`` says yes, for what no event tells."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  (there is no event to wait for)
            await asyncio.sleep(0.002)


def descriptors() -> set[tuple[str, str]]:
    """Return the open descriptors of this process with what they lead to."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add((entry.name, str(entry.readlink())))
        except OSError:  # the one that lists the others is gone by now
            continue
    return found


def children() -> set[str]:
    """Return the child processes of this one, zombies too."""
    return {f"{child.pid} {child.status()}" for child in psutil.Process().children()}


def _workers() -> set[psutil.Process]:
    """Return the workers that this process has started and that still run."""
    found = set()
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if child.name() == WORKER and child.status() != psutil.STATUS_ZOMBIE:
                found.add(child)
    return found


@pytest.fixture(scope="module", autouse=True)
def no_worker_stays() -> Iterator[None]:
    """Fail the file that leaves a worker behind, and end it: other tests would be blamed."""
    before = _workers()
    yield
    left = _workers() - before
    for worker in left:
        worker.kill()
        worker.wait()
    assert not left, f"workers are left: {left}"


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Check that what the block opens, starts and forks is gone soon after its end."""
    before = {look: look() for look in (descriptors, threads)}
    family = {child.pid for child in psutil.Process().children()}
    yield
    left: dict[str, object] = {}

    def clean() -> bool:
        left.clear()
        for look, old in before.items():
            if new := look() - old:
                left[look.__name__] = new
        born = {child for child in psutil.Process().children() if child.pid not in family}
        if born:
            left["children"] = born
        return not left

    try:
        await until(clean)
    except TimeoutError:
        raise AssertionError(f"left behind: {left}") from None


def run(work: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``; nothing may be left of ``work`` while the loop still runs."""

    async def main() -> T:
        async with asyncio.timeout(4 * PATIENCE_S), nothing_left():
            return await work

    return asyncio.run(main())
