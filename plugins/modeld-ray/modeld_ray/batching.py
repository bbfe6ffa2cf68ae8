# SPDX-License-Identifier: GPL-3.0-only
"""Gathers the chunks of one generation, so that fewer messages cross from host to ingress.

Each message costs both sides about a millisecond of a processor. The window has a leading edge:
what comes after a pause goes at once, and what follows within it goes together at its end. So a
model that makes fewer tokens than one in a window is never delayed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MOST: Final = 512
"""So many chunks wait at most; an engine that is faster waits for its reader."""


async def gathered(
    chunks: AsyncGenerator[T, None],
    *,
    window_s: float,
    idle_s: float,
    clock: Callable[[], float],
) -> AsyncGenerator[list[T], None]:
    """Yield the chunks in order, in lists; an empty list is a sign of life after ``idle_s``.

    An error of ``chunks`` is raised after what came before it has been yielded. Leaving early
    closes ``chunks``, and returns when that is done.
    """
    box = _Box(chunks)
    reading = asyncio.ensure_future(box.read())
    flushed_s = clock() - window_s
    try:
        while True:
            if not await _within(idle_s, box.arrived):
                yield []
                continue
            rest_s = flushed_s + window_s - clock()
            if rest_s > 0:
                await _within(rest_s, box.urgent)
            flushed_s = clock()
            found = box.take()
            if found:
                yield found
            else:
                await reading
                return
    finally:
        reading.cancel()
        await asyncio.wait([reading])


class _Box(Generic[T]):
    """What has been read and not yet taken.

    ``arrived`` is set while there is something, and for good at the end; ``urgent`` when nothing is
    worth waiting for: it is full, or the end has come.
    """

    def __init__(self, chunks: AsyncGenerator[T, None]) -> None:
        self.arrived = asyncio.Event()
        self.urgent = asyncio.Event()
        self._chunks = chunks
        self._waiting: list[T] = []
        self._room = asyncio.Event()
        self._is_over = False

    async def read(self) -> None:
        """Read to the end, or to the error."""
        try:
            async with aclosing(self._chunks):
                async for chunk in self._chunks:
                    self._waiting.append(chunk)
                    self.arrived.set()
                    if len(self._waiting) >= MOST:
                        self._room.clear()
                        self.urgent.set()
                        await self._room.wait()
        finally:
            self._is_over = True
            self.arrived.set()
            self.urgent.set()

    def take(self) -> list[T]:
        """Return what waits; nothing only after the end."""
        found, self._waiting = self._waiting, []
        if not self._is_over:
            self.arrived.clear()
            self.urgent.clear()
        self._room.set()
        return found


async def _within(limit_s: float, event: asyncio.Event) -> bool:
    """Return whether the event is set within so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            return await event.wait()
    return event.is_set()
