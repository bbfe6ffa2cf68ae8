# SPDX-License-Identifier: GPL-3.0-only
"""Tasks that outlive the call that starts them, with an owner that can be closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

LAST_S: Final = 0.5
"""How long tasks have to end when their event loop does."""

log = logging.getLogger("modeld.tasks")


class TaskSet:
    """A set of running tasks. Unlike a task group it may be opened in one task and closed in
    another, and a task that fails is logged and does not end its neighbours.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run ``work`` until it ends or the set is closed, and return its task.

        Raises:
            RuntimeError: the set is closed.
        """
        if self._closed:
            work.close()
            raise RuntimeError(f"no task {name!r} can start any more")
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def is_closed(self) -> bool:
        """Return whether no task can start any more."""
        return self._closed

    async def aclose(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task %s failed", task.get_name(), exc_info=error)


async def leave_behind(within_s: float = LAST_S) -> None:
    """End all other tasks of this event loop, and let it close without those that do not end.

    A plugin's coroutine may go on although it is cancelled, and whoever runs the loop would wait
    for it without limit.
    """
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if not others:
        return
    _, going_on = await asyncio.wait(others, timeout=within_s)
    for task in going_on:
        log.error("task %s does not end and is left behind", task.get_name())
        asyncio._unregister_task(task)  # noqa: SLF001  (public, for those who have tasks of their own)
