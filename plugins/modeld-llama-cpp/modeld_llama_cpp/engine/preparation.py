# SPDX-License-Identifier: GPL-3.0-only
"""Reads requests beside the running steps, so that a slow one does not hold up others."""

from __future__ import annotations

import queue
import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

from modeld import ModeldError
from modeld.errors import InternalError

T = TypeVar("T")


class Preparation(Generic[T]):
    """One thread that does its work in the order in which it comes."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="modeld-prepare")
        self._running: dict[int, Future[T]] = {}
        self._finished: queue.SimpleQueue[int] = queue.SimpleQueue()

    def __len__(self) -> int:
        """Return how many results are not yet taken."""
        return len(self._running)

    def start(
        self, request_id: int, work: Callable[[], T], after: Future[Any] | None = None
    ) -> None:
        """Begin with a request: ``work()`` is called on the thread.

        Where it needs something that comes ``after`` a while, the thread does other work until
        then.
        """
        future: Future[T] = Future()
        self._running[request_id] = future
        future.add_done_callback(lambda _: self._finished.put(request_id))
        if after is None:
            self._thread.submit(_run, future, work)
        else:
            after.add_done_callback(lambda _: self._submit(future, work))

    def take(self, wait_s: float) -> list[tuple[int, T | ModeldError]]:
        """Return all results that are ready; if there is none, wait a while for one."""
        taken: list[tuple[int, T | ModeldError]] = []
        while self._running:
            try:
                request_id = self._finished.get(timeout=0.0 if taken else wait_s)
            except queue.Empty:
                break
            future = self._running.pop(request_id, None)
            if future is not None:  # else it was forgotten, which ends it too
                result = _result(future)
                taken.append((request_id, result))
        return taken

    def forget(self, request_id: int) -> bool:
        """Drop a result that is not yet taken, and return whether there was one."""
        future = self._running.pop(request_id, None)
        if future is not None:
            future.cancel()
        return future is not None

    def close(self) -> None:
        """Wait for the work that runs, and do no more."""
        for future in self._running.values():
            future.cancel()
        self._running.clear()
        self._thread.shutdown(cancel_futures=True)

    def _submit(self, future: Future[T], work: Callable[[], T]) -> None:
        """Begin with what waited; it may be too late for that."""
        with suppress(RuntimeError):
            self._thread.submit(_run, future, work)


def _run(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except Exception as exc:  # noqa: BLE001  (it is told to whoever takes the result)
        future.set_exception(exc)


def _result(future: Future[T]) -> T | ModeldError:
    try:
        return future.result()
    except ModeldError as exc:
        return exc
    except CancelledError:
        return InternalError("the model is being unloaded")
    except Exception as exc:  # noqa: BLE001  (one request's fault must not end the others)
        traceback.print_exc()
        return InternalError(f"the request could not be read: {exc!r}")
