# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from modeld.errors import QueueFullError
from modeld.httpapi.exchange.disconnect import ClientLeft, run_guarded, watch_client

DISCONNECT = {"type": "http.disconnect"}
REQUEST = {"type": "http.request", "body": b"", "more_body": False}


class Connection:
    """A client's side of ``receive()``."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for message in messages:
            self.queue.put_nowait(message)

    async def receive(self) -> dict[str, Any]:
        return await self.queue.get()


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def five() -> int:
    return 5


def test_the_result_of_the_work_comes_out_and_its_guards_end() -> None:
    async def go() -> None:
        assert await run_guarded(five(), forever(), forever()) == 5
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(go())


def test_an_error_of_the_work_comes_out_as_it_is() -> None:
    error = QueueFullError("full")
    error.__cause__ = ValueError("below")

    async def work() -> None:
        raise error

    async def go() -> None:
        with pytest.raises(QueueFullError) as raised:
            await run_guarded(work(), forever())
        assert raised.value is error
        assert isinstance(raised.value.__cause__, ValueError)

    asyncio.run(go())


def test_work_is_cancelled_when_the_client_leaves() -> None:
    ends = []

    async def work() -> None:
        try:
            await forever()
        finally:
            ends.append("cancelled")

    async def go() -> None:
        with pytest.raises(ClientLeft):
            await run_guarded(work(), watch_client(Connection(REQUEST, DISCONNECT).receive))
        assert ends == ["cancelled"]

    asyncio.run(go())


def test_a_client_that_has_its_response_has_not_left() -> None:
    async def go() -> None:
        assert (await watch_client(Connection(DISCONNECT).receive, lambda: True)) is None

    asyncio.run(go())


def test_a_body_that_nobody_reads_does_not_hide_the_disconnect() -> None:
    part = {"type": "http.request", "body": b"x", "more_body": True}

    async def go() -> None:
        with pytest.raises(ClientLeft):
            await watch_client(Connection(*[part] * 20, REQUEST, DISCONNECT).receive)

    asyncio.run(go())


def test_a_host_that_repeats_the_body_without_end_does_not_stop_the_loop() -> None:
    calls = []

    async def receive() -> dict[str, Any]:
        calls.append(1)
        return REQUEST

    async def go() -> None:
        await watch_client(receive)

    asyncio.run(go())
    assert len(calls) < 10


def test_a_fault_while_giving_up_is_logged_and_does_not_hide_the_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            raise RuntimeError("cleaning up failed") from None

    async def go() -> None:
        with pytest.raises(ClientLeft):
            await run_guarded(work(), watch_client(Connection(DISCONNECT).receive))

    with caplog.at_level(logging.ERROR):
        asyncio.run(go())
    assert "cleaning up failed" in caplog.text


def test_cancelling_from_outside_stays_a_cancellation() -> None:
    async def go() -> None:
        task = asyncio.create_task(run_guarded(forever(), forever()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(go())
