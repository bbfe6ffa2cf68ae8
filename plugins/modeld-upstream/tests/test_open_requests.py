# SPDX-License-Identifier: GPL-3.0-only
"""What is under way ends when it is told to, as often as that may be."""

from __future__ import annotations

import asyncio

import pytest
from modeld_upstream.connection.open_requests import OpenRequests


def test_what_ends_already_may_be_ended_again() -> None:
    requests = OpenRequests()
    waits, ends, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with requests.waiting():
            try:
                waits.set()
                await asyncio.Event().wait()
            finally:
                ends.set()
                await go_on.wait()

    async def main() -> None:
        task = asyncio.create_task(work())
        await waits.wait()
        requests.end()
        await ends.wait()
        requests.end()
        go_on.set()
        with pytest.raises(TimeoutError):
            await task

    asyncio.run(main())
