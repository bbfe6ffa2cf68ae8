# SPDX-License-Identifier: GPL-3.0-only
"""Where what an engine has produced waits for the task that takes it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from modeld.errors import ClientTooSlowError, ModeldError
from modeld.hosting.frames import Sent
from modeld.values import Token

MAX_WAITING_CHUNKS: Final = 4096
"""Most chunks and logprobs that wait for one client; one that falls further behind is given up."""


class Mailbox:
    """What an engine has produced for one request or question and its task has not taken yet.

    ``is_open`` from when the engine was told until the end has been taken.
    """

    __slots__ = ("_error", "_logprobs", "_waiter", "chunks", "is_open")

    def __init__(self) -> None:
        self.chunks: deque[Sent] = deque()
        self.is_open = False
        self._logprobs = 0
        self._error: ModeldError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, chunk: Sent) -> None:
        """Add a chunk, or end the stream if its reader is too far behind."""
        if self._error is not None:
            return
        if len(self.chunks) + self._logprobs < MAX_WAITING_CHUNKS:
            self.chunks.append(chunk)
            if isinstance(chunk, Token) and chunk.logprobs:
                self._logprobs += len(chunk.logprobs)
            if self._waiter is not None:
                self._wake()
        else:
            self.fail(ClientTooSlowError(f"{len(self.chunks)} tokens wait to be taken"))

    def take(self) -> Sent:
        """The oldest chunk. There must be one: :meth:`wait` for it."""
        chunk = self.chunks.popleft()
        if self._logprobs and isinstance(chunk, Token):
            self._logprobs -= len(chunk.logprobs)
        return chunk

    def fail(self, error: ModeldError) -> None:
        """End the stream with an error, after what is already here."""
        self._error = self._error or error
        self._wake()

    async def wait(self) -> None:
        """Wait until :attr:`chunks` has something in it.

        Raises:
            ModeldError: there is nothing, and the stream has failed.
        """
        while not self.chunks:
            if self._error is not None:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None
