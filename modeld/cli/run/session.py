# SPDX-License-Identifier: GPL-3.0-only
"""A model service for code that is not asynchronous: it runs on a thread of its own."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Coroutine, Generator
from concurrent.futures import Future
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from modeld.cli.run.waiting import next_of, result_of
from modeld.hosting.tasks import leave_behind
from modeld.interfaces import ModelService
from modeld.requests import GenerateRequest
from modeld.responses import Chunk

T = TypeVar("T")
_Item: TypeAlias = Chunk | BaseException | None


class Session:
    """Starts a service on entering and ends it on leaving.

    The main thread stays free to wait for a person, and that is where Ctrl-C arrives; the service
    goes on meanwhile.
    """

    def __init__(self, service: ModelService) -> None:
        self._service = service
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._leaving = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="modeld-session", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            result_of(self._started)
        except Exception:
            self._thread.join()  # it closes its loop, which the interpreter's end must not meet
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._started.result().call_soon_threadsafe(self._leaving.set)
        self._thread.join()

    def load(self, model: str) -> Future[None]:
        """Begin to bring a model into memory."""
        return self._submit(self._service.load(model))

    def generate(self, request: GenerateRequest) -> Generator[Chunk, None, None]:
        """Yield the generation's chunks; closing it early stops the work and waits until it has.

        Raises:
            ModeldError: what the service raised.
        """
        items: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        work = result_of(self._submit(self._begin(request, items)))
        over = False
        try:
            while isinstance(item := next_of(items), Chunk):
                yield item
            over = True
            if item is not None:
                raise item
        finally:
            if not over:
                work.get_loop().call_soon_threadsafe(work.cancel)
                while isinstance(next_of(items), Chunk):
                    pass

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._started.result())

    async def _begin(
        self, request: GenerateRequest, items: queue.SimpleQueue[_Item]
    ) -> asyncio.Task[None]:
        """Start the work. Whatever becomes of it, its last item is an error or ``None``."""
        work = asyncio.get_running_loop().create_task(self._pump(request, items))
        work.add_done_callback(
            lambda done: items.put(None if done.cancelled() else done.exception())
        )
        return work

    async def _pump(self, request: GenerateRequest, items: queue.SimpleQueue[_Item]) -> None:
        async with aclosing(self._service.generate(request)) as chunks:
            async for chunk in chunks:
                items.put(chunk)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        try:
            await self._start_and_wait()
        finally:
            await leave_behind()

    async def _start_and_wait(self) -> None:
        try:
            await self._service.start()
        except BaseException as exc:  # noqa: BLE001  (it is raised again on the other thread)
            await self._service.aclose()
            self._started.set_exception(exc)
            return
        self._started.set_result(asyncio.get_running_loop())
        await self._leaving.wait()
        await self._service.aclose()
