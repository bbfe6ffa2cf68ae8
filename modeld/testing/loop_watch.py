# SPDX-License-Identifier: GPL-3.0-only
"""Measures for how long an event loop was blocked."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

_TICK_S: Final = 0.005


async def check_free_loop(
    limit_s: float, during: str, work: Callable[[], Awaitable[object]]
) -> None:
    """Fail where some work keeps the event loop from everything else for ``limit_s``.

    Other programs on the machine do so as well, now and then: of three times the best counts.
    """
    longest_s = math.inf
    for _ in range(3):
        longest_s = min(longest_s, await _longest(work))
        if longest_s < limit_s:
            return
    raise AssertionError(
        f"the event loop stood still for {longest_s:.2f} s during {during}; what blocks belongs"
        " into a thread (asyncio.to_thread) or into a worker (host.start)"
    )


async def _longest(work: Callable[[], Awaitable[object]]) -> float:
    longest = [0.0]
    watch = asyncio.create_task(_watch(longest))
    await asyncio.sleep(0)
    try:
        await work()
        await asyncio.sleep(2 * _TICK_S)
    finally:
        watch.cancel()
        await asyncio.wait([watch])
    return longest[0]


async def _watch(longest: list[float]) -> None:
    while True:
        began_s = time.monotonic()
        await asyncio.sleep(_TICK_S)
        longest[0] = max(longest[0], time.monotonic() - began_s - _TICK_S)
