# SPDX-License-Identifier: GPL-3.0-only
"""Waits for results of another thread in a way that Ctrl-C can interrupt.

A signal that comes just before Python begins to wait for a lock is noticed only when that wait
ends. So no wait here is longer than :data:`LOOK_S`; it is begun again instead.
"""

from __future__ import annotations

import queue
from concurrent.futures import Future, wait
from typing import Final, TypeVar

LOOK_S: Final = 0.2

T = TypeVar("T")


def next_of(items: queue.SimpleQueue[T]) -> T:
    """Return the next item of a queue, as soon as there is one."""
    while True:
        try:
            return items.get(timeout=LOOK_S)
        except queue.Empty:
            continue


def result_of(future: Future[T]) -> T:
    """Return what a future has become, or raise it."""
    while not future.done():
        wait([future], timeout=LOOK_S)
    return future.result()
