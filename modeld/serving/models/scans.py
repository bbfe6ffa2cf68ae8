# SPDX-License-Identifier: GPL-3.0-only
"""Runs one scan at a time; whoever asks during a scan shares the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from modeld.errors import DrainingError


class Scans:
    """Runs ``scan`` for all who wait for it; who gives up ends it for nobody else."""

    def __init__(self, scan: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._scan = scan
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def anew(self) -> None:
        """Wait for a scan that begins after this call: one under way may have passed by a change.

        Raises:
            DrainingError: the server shuts down meanwhile.
        """
        if self._next is None or self._next.done():
            self._next = asyncio.get_running_loop().create_task(self._run_after(self._running))
        await _shared(self._next)

    async def join(self) -> None:
        """Wait for the scan under way, or else for a new one.

        Raises:
            DrainingError: the server shuts down meanwhile.
        """
        if self._running is not None and not self._running.done():
            await _shared(self._running)
        else:
            await self.anew()

    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """Return the scan under way and the one that comes after it."""
        return [task for task in (self._running, self._next) if task is not None]

    async def _run_after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        # Who comes from here on needs another one.
        self._running, self._next = self._next, None
        await self._scan()


async def _shared(scan: asyncio.Task[None]) -> None:
    try:
        await asyncio.shield(scan)
    except asyncio.CancelledError:
        if scan.cancelled():
            raise DrainingError("the server is shutting down", retry_after_s=1) from None
        raise
