# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import threading

import pytest

from modeld.hosting.daemon_threads import DaemonExecutor, in_daemon_loop, in_daemon_thread


def test_what_a_thread_returns_or_raises_is_awaited() -> None:
    def fails() -> None:
        raise SystemExit("enough")

    async def main() -> None:
        assert await in_daemon_thread(threading.get_ident) != threading.get_ident()
        with pytest.raises(SystemExit, match="enough"):
            await in_daemon_thread(fails)

    asyncio.run(main())


def test_who_is_cancelled_leaves_the_thread_behind() -> None:
    free = threading.Event()

    async def main() -> None:
        waiting = asyncio.create_task(in_daemon_thread(free.wait))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    free.set()


def test_no_call_waits_for_another_and_the_end_waits_for_none() -> None:
    free = threading.Event()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(DaemonExecutor())
        hanging = [loop.run_in_executor(None, free.wait) for _ in range(100)]
        assert await asyncio.to_thread(pow, 2, 3) == 8
        assert not any(future.done() for future in hanging)

    asyncio.run(main())  # it shuts the executor down, which waits for its threads
    free.set()


def test_a_coroutine_has_a_loop_of_its_own_which_ends_though_its_threads_hang() -> None:
    free = threading.Event()

    async def lists() -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        loop.run_in_executor(None, free.wait)
        return loop

    async def main() -> None:
        theirs = await in_daemon_loop(lists)
        assert theirs is not asyncio.get_running_loop()
        assert theirs.is_closed()

    asyncio.run(main())
    free.set()
