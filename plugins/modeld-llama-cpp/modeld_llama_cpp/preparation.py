# SPDX-License-Identifier: GPL-3.0-only
"""Reads requests beside the running steps, so that a slow one does not hold up other answers."""

from __future__ import annotations

import queue
import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Generic, TypeVar

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
        """How many results are not yet taken."""
        return len(self._running)

    def start(self, request_id: int, work: Callable[[], T]) -> None:
        """Begin with a request: ``work()`` is called on the thread."""
        future = self._thread.submit(work)
        self._running[request_id] = future
        future.add_done_callback(lambda _: self._finished.put(request_id))

    def take(self, wait_s: float) -> list[tuple[int, T | ModeldError]]:
        """All results that are ready; if there is none, wait a while for one."""
        taken: list[tuple[int, T | ModeldError]] = []
        while self._running:
            try:
                request_id = self._finished.get(timeout=0.0 if taken else wait_s)
            except queue.Empty:
                break
            future = self._running.pop(request_id, None)
            if future is not None:
                result = _result(future)
                taken.append((request_id, result))
        return taken

    def forget(self, request_id: int) -> bool:
        """Drop a result that is not yet taken; whether there was one."""
        future = self._running.pop(request_id, None)
        if future is not None:
            future.cancel()
        return future is not None

    def close(self) -> None:
        """Wait for the work that runs, and do no more."""
        self._running.clear()
        self._thread.shutdown(cancel_futures=True)


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
