# SPDX-License-Identifier: GPL-3.0-only
"""What is under way with a server, so that closing the connections ends it.

aiohttp leaves those who wait on a connection waiting when its session is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp


class OpenRequests:
    """Knows who waits for a response to begin, and which responses are read."""

    def __init__(self) -> None:
        self._waits: set[asyncio.Timeout] = set()
        self._responses: set[aiohttp.ClientResponse] = set()

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Wait in the block for a response to begin.

        Raises:
            TimeoutError: all were ended meanwhile.
        """
        async with asyncio.timeout(None) as wait:
            self._waits.add(wait)
            try:
                yield
            finally:
                self._waits.discard(wait)

    @contextmanager
    def reading(self, response: aiohttp.ClientResponse) -> Iterator[None]:
        """Read a response in the block; a read fails when all are ended."""
        self._responses.add(response)
        try:
            yield
        finally:
            self._responses.discard(response)

    def end(self) -> None:
        """End all."""
        for wait in self._waits:
            if not wait.expired():  # else it ends already, and cannot be told so again
                wait.reschedule(asyncio.get_running_loop().time())
        for response in self._responses:
            response.close()
