# SPDX-License-Identifier: GPL-3.0-only
"""Merges the chunks of several concurrent generations in the order of their arrival."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final

from modeld.responses import Chunk, Placed

AHEAD: Final = 16
"""How many chunks are taken ahead of a client, from all generations together."""


class Merged:
    """The chunks of one generation or of several that run at once.

    ``index`` is the generation of the chunk that was taken last. When :attr:`chunks` is closed, all
    generations are; the first that fails ends all.
    """

    def __init__(self, generations: Sequence[AsyncGenerator[Placed | Chunk, None]]) -> None:
        self.index = 0
        # One is taken as it is: nearly all are, and a generator around it would cost every token.
        self.chunks = generations[0] if len(generations) == 1 else self._all(generations)

    async def _all(
        self, generations: Sequence[AsyncGenerator[Placed | Chunk, None]]
    ) -> AsyncGenerator[Placed | Chunk, None]:
        # A full queue holds the generations back as a client that reads slowly does with one.
        queue: asyncio.Queue[tuple[int, Placed | Chunk | Exception | None]] = asyncio.Queue(AHEAD)
        pumps = [asyncio.create_task(_pump(*each, queue)) for each in enumerate(generations)]
        running = len(pumps)
        try:
            while running:
                self.index, item = await queue.get()
                if isinstance(item, Exception):
                    raise item
                if item is None:
                    running -= 1
                else:
                    yield item
        finally:
            for pump in pumps:
                pump.cancel()
            # What they raise now was raised above, or comes after it.
            await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(
    index: int,
    generation: AsyncGenerator[Placed | Chunk, None],
    queue: asyncio.Queue[tuple[int, Placed | Chunk | Exception | None]],
) -> None:
    """Put all chunks into the queue, and after them ``None`` or what has gone wrong.

    A failure does not end the task: that would be noticed only once the queue is looked at.
    """
    try:
        async with aclosing(generation) as chunks:
            async for chunk in chunks:
                await queue.put((index, chunk))
    except Exception as exc:  # noqa: BLE001  (it is raised where the chunks are taken)
        await queue.put((index, exc))
    else:
        await queue.put((index, None))
