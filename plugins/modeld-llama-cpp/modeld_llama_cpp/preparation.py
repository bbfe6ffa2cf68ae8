# SPDX-License-Identifier: GPL-3.0-only
"""Reads prompts beside the running steps, so that a slow one does not hold up other answers."""

from __future__ import annotations

import queue
import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TypeAlias

from modeld import GenerateRequest, ModeldError
from modeld.errors import InternalError

Prepared: TypeAlias = list[int] | ModeldError


class Preparation:
    """One thread that reads prompts in the order in which they come."""

    def __init__(self, read: Callable[[GenerateRequest], list[int]]) -> None:
        self._read = read
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="modeld-prompts")
        self._running: dict[int, Future[list[int]]] = {}
        self._finished: queue.SimpleQueue[int] = queue.SimpleQueue()

    def __len__(self) -> int:
        """How many prompts are not yet taken."""
        return len(self._running)

    def start(self, request_id: int, request: GenerateRequest) -> None:
        """Begin to read a request's prompt."""
        future = self._thread.submit(self._read, request)
        self._running[request_id] = future
        future.add_done_callback(lambda _: self._finished.put(request_id))

    def take(self, wait_s: float) -> list[tuple[int, Prepared]]:
        """All prompts that are ready; if there is none, wait a while for one."""
        taken: list[tuple[int, Prepared]] = []
        while self._running:
            try:
                request_id = self._finished.get(timeout=0.0 if taken else wait_s)
            except queue.Empty:
                break
            future = self._running.pop(request_id, None)
            if future is not None:
                taken.append((request_id, _result(future)))
        return taken

    def forget(self, request_id: int) -> bool:
        """Drop a prompt that is not yet taken; whether there was one."""
        future = self._running.pop(request_id, None)
        if future is not None:
            future.cancel()
        return future is not None

    def close(self) -> None:
        """Wait for the prompt that is being read, and read no more."""
        self._running.clear()
        self._thread.shutdown(cancel_futures=True)


def _result(future: Future[list[int]]) -> Prepared:
    try:
        return future.result()
    except ModeldError as exc:
        return exc
    except CancelledError:
        return InternalError("the model is being unloaded")
    except Exception as exc:  # noqa: BLE001  (one request's fault must not end the others)
        traceback.print_exc()
        return InternalError(f"the prompt could not be read: {exc!r}")
