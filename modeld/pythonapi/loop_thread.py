# SPDX-License-Identifier: GPL-3.0-only
"""An event loop for code that is not asynchronous: it runs on a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import os
import queue
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import aclosing
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any, Final, Generic, TypeAlias, TypeVar

from modeld.errors import DrainingError, StartError
from modeld.hosting.tasks import leave_behind
from modeld.pythonapi.waiting import next_of, result_of

WINDOW: Final = 64
"""How many items of one generator are taken ahead of who iterates over them."""

T = TypeVar("T")
_Item: TypeAlias = tuple[T] | BaseException | None


class LoopThread:
    """Runs coroutines for threads that wait for them; several may at once.

    The main thread stays free to wait for a person, and that is where Ctrl-C arrives. So it works
    too where the calling thread has an event loop of its own that runs, as in a notebook. ``end``
    is called last.
    """

    def __init__(self, end: Callable[[], Awaitable[None]]) -> None:
        self._end = end
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._leaving = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="modeld-loop", daemon=True)
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._closed = False

    def close(self) -> None:
        """End everything; a second time, or in a process that was forked off, it does nothing."""
        with self._lock:
            begun = self._thread.ident is not None and os.getpid() == self._process
            is_first, self._closed = not self._closed, True
        if not begun or not is_first:
            return
        atexit.unregister(self.close)
        loop = result_of(self._started)
        try:
            result_of(asyncio.run_coroutine_threadsafe(_awaited(self._end()), loop))
        finally:
            loop.call_soon_threadsafe(self._leaving.set)
            self._thread.join()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns; who is interrupted meanwhile cancels it.

        Raises:
            BaseException: what it raised, and what :meth:`submit` does.
        """

        async def once() -> AsyncGenerator[T, None]:
            yield await work

        try:
            (result,) = self.iterate(once())
        finally:
            if getcoroutinestate(work) == CORO_CREATED:
                work.close()  # it never began, and Python would say so
        return result

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a coroutine. The first one starts the thread.

        Raises:
            DrainingError: it is closed.
            StartError: this process was forked off the one in which it was opened.
        """
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop())
        except BaseException:
            work.close()
            raise

    def iterate(self, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        """Yield what an asynchronous generator does; closing it early waits until that is closed.

        Raises:
            BaseException: what it raised.
        """
        loop, stream, over = self._loop(), _Stream(items), False
        # Ctrl-C may come at any point, also before it is known whether the work has begun.
        try:
            loop.call_soon_threadsafe(stream.begin)
            while isinstance(item := next_of(stream.arrived), tuple):
                yield item[0]
                _soon(loop, stream.ahead.release)
            over = True
            if item is not None:
                raise item
        finally:
            if not over and _soon(loop, stream.cancel):
                while isinstance(next_of(stream.arrived), tuple):
                    pass

    def _loop(self) -> asyncio.AbstractEventLoop:
        if os.getpid() != self._process:
            raise StartError(
                f"these models were opened in process {self._process}, and this one was forked off"
                " it; open them in each process anew"
            )
        with self._lock:
            if self._closed:
                raise _closed()
            if self._thread.ident is None:
                self._thread.start()
                # Who forgets to close it would wait at the end for a thread that runs no more.
                atexit.register(self.close)
        return result_of(self._started)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._started.set_result(asyncio.get_running_loop())
        try:
            await self._leaving.wait()
        finally:
            await leave_behind()


class _Stream(Generic[T]):
    """What an asynchronous generator yields, on its way to another thread.

    All that it does, it does on the event loop. Whatever becomes of the generator, the last item is
    an error or ``None``.
    """

    def __init__(self, items: AsyncGenerator[T, None]) -> None:
        self.arrived: queue.SimpleQueue[_Item[T]] = queue.SimpleQueue()
        self.ahead = asyncio.Semaphore(WINDOW)
        self._items = items
        self._work: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start the work."""
        self._work = asyncio.get_running_loop().create_task(self._pump())
        self._work.add_done_callback(self._end)

    def cancel(self) -> None:
        """End the work, if it has begun."""
        if self._work is None:
            self.arrived.put(None)
        else:
            self._work.cancel()

    def _end(self, work: asyncio.Task[None]) -> None:
        self.arrived.put(_closed() if work.cancelled() else work.exception())

    async def _pump(self) -> None:
        async with aclosing(self._items):
            async for item in self._items:
                await self.ahead.acquire()
                self.arrived.put((item,))


def _closed() -> DrainingError:
    return DrainingError("these models are closed; open them anew")


def _soon(loop: asyncio.AbstractEventLoop, step: Callable[[], object]) -> bool:
    """Have the loop take a step, and return whether it still runs."""
    try:
        loop.call_soon_threadsafe(step)
    except RuntimeError:  # it was closed, and so all that ran there has ended
        return False
    return True


async def _awaited(work: Awaitable[T]) -> T:
    return await work
