# SPDX-License-Identifier: GPL-3.0-only
"""A client that reads no more of a stream."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from modeld_pull.job import Job
from modeld_pull.progress import Progress
from modeld_pull.reference import HubReference
from modeld_pull.telling import Following

from modeld.errors import ClientTooSlowError


def test_a_client_that_takes_nothing_is_given_up_and_its_pull_with_it() -> None:
    async def main() -> None:
        never = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await never.wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.body":
                await never.wait()

        job = Job("1", HubReference(repository="a/b"))
        job.note(Progress(status="downloading"))
        with pytest.raises(ClientTooSlowError):
            await Following(job, streams=True, write_timeout_s=0.01)({}, receive, send)
        with pytest.raises(asyncio.CancelledError):
            await job.run(lambda _show: asyncio.sleep(10))

    asyncio.run(main())
