# SPDX-License-Identifier: GPL-3.0-only
"""Holds what an engine has produced until the task that waits for it takes it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from modeld.errors import InternalError, ModeldError
from modeld.hosting.channel.credit import GRANT, cost
from modeld.hosting.channel.frames import Sent
from modeld.plugins.guard import described
from modeld.responses import PIECES, TakePiece, Token


class Mailbox:
    """What an engine has produced for one request and its task has not taken yet.

    It needs no limit of its own: the worker stops at its window, and ``grant`` tells it how much
    of that was taken. ``on_end`` is called when the end comes, which may be long before it is
    taken. ``take_piece`` may take what the task waits for. ``is_open`` from when the engine was
    told until its end has come. ``is_refused`` says of the oldest chunk that it was offered to
    ``take_piece`` already.
    """

    __slots__ = (
        "_error",
        "_grant",
        "_on_end",
        "_taken",
        "_waiter",
        "chunks",
        "is_open",
        "is_refused",
        "take_piece",
    )

    def __init__(self, grant: Callable[[int], None], on_end: Callable[[Sent], None]) -> None:
        self.chunks: deque[Sent] = deque()
        self.is_open = False
        self.is_refused = False
        self.take_piece: TakePiece | None = None
        self._grant = grant
        self._on_end = on_end
        self._taken = 0
        self._error: ModeldError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, chunk: Sent) -> None:
        """Add a chunk, unless it follows the end or a failure."""
        if not self.is_open or self._error is not None:
            return
        self.chunks.append(chunk)
        if type(chunk) is not Token and not isinstance(chunk, PIECES):  # nearly all are tokens
            self.is_open = False
            self._on_end(chunk)
        if self._waiter is not None:
            self._wake()

    def hand_over(self, chunk: Sent) -> None:
        """Add a chunk, or have ``take_piece`` take it, which needs no task."""
        take = self.take_piece
        # Only while the task waits: else the piece would overtake those that are not taken yet, or
        # the end or the failure that the task is being woken for.
        if take is None or self._waiter is None or not isinstance(chunk, PIECES):
            self.put(chunk)
            return
        try:
            is_taken = take(chunk)
        except Exception as exc:  # noqa: BLE001  (one request's fault must not end the channel)
            error = InternalError(f"a piece could not be taken: {described(exc)}")
            error.__cause__ = exc
            self.fail(error)
            return
        if is_taken:
            self._count(chunk)
        else:
            self.is_refused = True
            self.put(chunk)

    def take(self) -> Sent:
        """Remove and return the oldest chunk. There must be one: :meth:`wait` for it."""
        chunk = self.chunks.popleft()
        if self.is_open:
            self._count(chunk)
        return chunk

    def _count(self, chunk: Sent) -> None:
        """Count what was taken, and tell the worker of it now and then."""
        self._taken += cost(chunk)
        if self._taken >= GRANT:
            self._grant(self._taken)
            self._taken = 0

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
