# SPDX-License-Identifier: GPL-3.0-only
"""Checks periodically whether a server that has a model still responds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from modeld.errors import WorkerCrashedError

MISSED: Final = 3
"""After so many checks in a row without a response a server counts as gone."""


class Heartbeat:
    """Calls ``is_well`` every ``interval_s``; ``gone`` says that the server is, and why."""

    def __init__(
        self, server: str, is_well: Callable[[], Awaitable[bool]], interval_s: float
    ) -> None:
        self.gone: asyncio.Future[WorkerCrashedError] = asyncio.get_running_loop().create_future()
        self._server = server
        self._is_well = is_well
        self._interval_s = interval_s
        self._task = asyncio.create_task(self._run()) if interval_s else None

    def give_up(self, why: str) -> None:
        """Take the server for gone."""
        if not self.gone.done():
            error = WorkerCrashedError(f"server {self._server!r} {why}", retry_after_s=1.0)
            error.cause = "stall"
            self.gone.set_result(error)

    async def aclose(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        missed = 0
        while missed < MISSED:
            await asyncio.sleep(self._interval_s)
            missed = 0 if await self._is_well() else missed + 1
        self.give_up(f"has not responded to {MISSED} checks in a row")
