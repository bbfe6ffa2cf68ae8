# SPDX-License-Identifier: GPL-3.0-only
"""Runs a generation of a backend's own engine in a task that can be abandoned."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Final

from modeld.errors import InternalError, ModeldError
from modeld.hosting.hang_watch import HangWatch
from modeld.plugins.guard import PluginCall, is_ours
from modeld.responses import Chunk, Done

AHEAD: Final = 16
"""How many chunks an engine may be ahead of its client."""


class OwnGeneration:
    """Takes chunks from the engine's generator, a few ahead of :meth:`next`.

    The generator is made, iterated and closed in one task. ``end_badly`` gets what it raises when
    it is closed. While it waits for its client, it gives no sign of life and is not watched.
    """

    def __init__(
        self,
        what: str,
        generate: Callable[[], AsyncGenerator[Chunk, None]],
        watch: HangWatch,
        request_id: int,
        end_badly: Callable[[BaseException], None],
    ) -> None:
        self._what = what
        self._generate = generate
        self._watch = watch
        self._id = request_id
        self._end_badly = end_badly
        self._chunks: deque[object] = deque()
        self._news = asyncio.Event()
        self._taken = asyncio.Event()
        self.call = PluginCall(what, self._run)
        self.call.when_over(self._news.set)

    async def next(self, why_ended: Callable[[], ModeldError | None]) -> object:
        """Return the next chunk, whatever the engine has yielded for one.

        Raises:
            InternalError: there is none.
            Exception: what the generator has raised, or why the engine has ended.
        """
        while not self._chunks:
            if self.call.is_over:
                self.call.result()
                raise InternalError(f"{self._what} ended without a Done")
            if ended := why_ended():
                raise ended
            self._news.clear()
            await self._news.wait()
        self._taken.set()
        return self._chunks.popleft()

    def wake(self) -> None:
        """Have :meth:`next` look anew."""
        self._news.set()

    async def _run(self) -> None:
        chunks = self._generate()
        try:
            while True:
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
                self._watch.progress()
                self._chunks.append(chunk)
                self._news.set()
                if isinstance(chunk, Done):
                    return
                if len(self._chunks) >= AHEAD:
                    await self._until_taken()
        finally:
            await self._close(chunks)

    async def _until_taken(self) -> None:
        self._watch.ended(self._id)
        while len(self._chunks) >= AHEAD:
            self._taken.clear()
            await self._taken.wait()
        self._watch.started(self._id)

    async def _close(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        try:
            await chunks.aclose()
        except BaseException as exc:
            if is_ours(exc):
                raise
            self._end_badly(exc)
