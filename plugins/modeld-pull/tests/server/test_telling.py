# SPDX-License-Identifier: GPL-3.0-only
"""A client that reads no more of a stream."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from modeld_pull.progress import Progress
from modeld_pull.reference import HubReference
from modeld_pull.server.job import Job
from modeld_pull.server.telling import Following

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


def test_a_host_that_hands_out_the_body_forever_holds_nobody_up() -> None:
    async def main() -> None:
        asked, sent, begun = [0], [], asyncio.Event()

        async def receive() -> dict[str, Any]:
            asked[0] += 1
            begun.set()
            assert asked[0] < 100
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message["type"])

        job = Job("1", HubReference(repository="a/b"))
        following = asyncio.create_task(
            Following(job, streams=False, write_timeout_s=1)({}, receive, send)
        )
        await begun.wait()
        job.end("done")
        await following
        assert sent == ["http.response.start", "http.response.body"]

    asyncio.run(main())
