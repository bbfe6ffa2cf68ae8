# SPDX-License-Identifier: GPL-3.0-only
"""Threads for calls that may hang: nobody waits for them, not even at exit."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class DaemonExecutor(ThreadPoolExecutor):
    """Runs each call on a daemon thread of its own.

    As an event loop's default executor it keeps a call that hangs, in a plugin or on a disk that
    does not answer, from taking the threads of others and from keeping the process alive.
    """

    def submit(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Begin the call at once and return its future."""
        return submit(lambda: function(*args, **kwargs))


def submit(function: Callable[[], T]) -> Future[T]:
    """Run ``function`` on a new daemon thread and return a future of what it returns or raises."""
    outcome: Future[T] = Future()

    def run() -> None:
        if not outcome.set_running_or_notify_cancel():
            return
        try:
            outcome.set_result(function())
        except BaseException as exc:  # noqa: BLE001  (it is raised where the future is awaited)
            outcome.set_exception(exc)

    threading.Thread(target=run, name="modeld-daemon", daemon=True).start()
    return outcome


async def in_daemon_thread(function: Callable[[], T]) -> T:
    """Return what ``function`` returns on a daemon thread; a cancelled caller leaves it behind."""
    return await asyncio.wrap_future(submit(function))


async def in_daemon_loop(begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Return what a coroutine returns on a thread and an event loop of its own.

    It holds up nobody, also where it blocks; a cancelled caller leaves it behind.
    """
    return await in_daemon_thread(lambda: _run(begin()))


def _run(main: Coroutine[Any, Any, T]) -> T:
    async def with_daemon_threads() -> T:
        asyncio.get_running_loop().set_default_executor(DaemonExecutor())
        return await main

    return asyncio.run(with_daemon_threads())
