# SPDX-License-Identifier: GPL-3.0-only
"""Tokens that cross together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from modeld_ray.batching import MOST, gathered

from modeld.testing.doubles.virtual_time import now_s, run_virtually

BEGAN_S = 1000.0


async def spoken(times: list[float], ends: list[str]) -> AsyncGenerator[float, None]:
    try:
        for at_s in times:
            await asyncio.sleep(BEGAN_S + at_s - now_s())
            yield at_s
        ends.append("done")
    finally:
        ends.append("closed")


def batches(times: list[float], *, window_s: float = 0.02, idle_s: float = 1.0):
    async def main() -> list[tuple[float, list[float]]]:
        found = gathered(spoken(times, []), window_s=window_s, idle_s=idle_s, clock=now_s)
        return [(round(now_s() - BEGAN_S, 6), batch) async for batch in found]

    return run_virtually(main())


def test_what_comes_after_a_pause_goes_at_once_and_the_rest_at_the_end_of_the_window():
    assert batches([0.1, 0.105, 0.11, 0.13, 0.2]) == [
        (0.1, [0.1]),
        (0.12, [0.105, 0.11]),
        (0.14, [0.13]),
        (0.2, [0.2]),
    ]


def test_a_model_slower_than_the_window_is_never_delayed():
    times = [0.03 * number for number in range(1, 20)]
    assert all(at_s == round(batch[0], 6) for at_s, batch in batches(times))


def test_the_end_does_not_wait_for_the_window():
    assert batches([0.1, 0.101])[-1] == (0.101, [0.101])


def test_without_a_window_each_goes_by_itself():
    assert [len(batch) for _, batch in batches([0.1, 0.2, 0.3], window_s=0.0)] == [1, 1, 1]


def test_a_silent_model_gives_signs_of_life():
    assert batches([2.5]) == [(1.0, []), (2.0, []), (2.5, [2.5])]


def test_an_error_comes_after_what_came_before_it():
    async def failing() -> AsyncGenerator[int, None]:
        yield 1
        yield 2
        raise ValueError("boom")

    async def main() -> None:
        found = gathered(failing(), window_s=0.02, idle_s=1.0, clock=now_s)
        assert await anext(found) == [1, 2]
        with pytest.raises(ValueError, match="boom"):
            await anext(found)

    run_virtually(main())


def test_leaving_closes_the_source():
    async def main() -> None:
        ends: list[str] = []
        found = gathered(spoken([0.1, 9.0], ends), window_s=0.02, idle_s=1.0, clock=now_s)
        assert await anext(found) == [0.1]
        await found.aclose()
        assert ends == ["closed"]

    run_virtually(main())


def test_an_engine_that_is_faster_than_its_reader_waits():
    async def main() -> None:
        made = 0

        async def fast() -> AsyncGenerator[int, None]:
            nonlocal made
            while made < 10 * MOST:
                made += 1
                yield made

        found = gathered(fast(), window_s=0.02, idle_s=1.0, clock=now_s)
        first = await anext(found)
        await asyncio.sleep(1)
        assert made <= 2 * MOST
        rest = [each async for batch in found for each in batch]
        assert [*first, *rest] == list(range(1, 10 * MOST + 1))

    run_virtually(main())
