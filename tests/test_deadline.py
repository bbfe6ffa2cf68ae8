# SPDX-License-Identifier: GPL-3.0-only
import asyncio

import pytest

from modeld.deadline import within
from modeld.errors import RequestTimeoutError


def test_what_takes_longer_is_cancelled_and_refused() -> None:
    async def go() -> None:
        with pytest.raises(RequestTimeoutError, match=r"timeout_s of 0\.01") as refusal:
            async with within(0.01):
                await asyncio.Event().wait()
        assert refusal.value.field == "timeout_s"

    asyncio.run(go())


@pytest.mark.parametrize("timeout_s", [None, 60.0])
def test_what_is_done_in_time_is_left_alone(timeout_s: float | None) -> None:
    async def go() -> None:
        async with within(timeout_s):
            await asyncio.sleep(0)

    asyncio.run(go())


def test_a_timeout_of_somebody_else_stays_what_it_is() -> None:
    async def go() -> None:
        with pytest.raises(TimeoutError, match="theirs"):
            async with within(60):
                raise TimeoutError("theirs")

    asyncio.run(go())


def test_being_cancelled_from_outside_is_no_timeout() -> None:
    async def go() -> None:
        begun = asyncio.Event()

        async def work() -> None:
            async with within(60):
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())


def test_the_time_may_have_begun_before() -> None:
    async def go() -> None:
        begun_s = asyncio.get_running_loop().time() - 2
        with pytest.raises(RequestTimeoutError, match="timeout_s of 1"):
            async with within(1, begun_s=begun_s):
                await asyncio.Event().wait()

    asyncio.run(go())
