# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from modeld.httpapi.server.joined_writes import MOST_JOINED, JoinedWrites
from modeld.httpapi.server.protocol import protocol_class
from modeld.settings import Settings


class Transport(asyncio.Transport):
    """Notes what is done with it."""

    def __init__(self) -> None:
        super().__init__({"peername": "somebody"})
        self.done: list[object] = []

    def write(self, data: Any) -> None:
        self.done.append(data)

    def write_eof(self) -> None:
        self.done.append("eof")

    def close(self) -> None:
        self.done.append("close")


async def begin(*, joins: bool = True) -> tuple[JoinedWrites, list[object]]:
    transport = Transport()
    joined = JoinedWrites(asyncio.get_running_loop(), transport)
    if joins:
        joined.join_next()
    return joined, transport.done


def test_what_is_written_in_one_turn_is_sent_at_once() -> None:
    async def check() -> None:
        joined, done = await begin()
        joined.write(b"head,")
        joined.write(b"body")
        assert done == []
        await asyncio.sleep(0)
        assert done == [b"head,body"]

    asyncio.run(check())


def test_a_head_waits_for_no_body_and_the_parts_after_it_for_nothing() -> None:
    async def check() -> None:
        joined, done = await begin()
        joined.write(b"head")
        await asyncio.sleep(0)
        joined.write(b"later")
        assert done == [b"head", b"later"]

    asyncio.run(check())


def test_nothing_is_held_back_before_a_response_begins() -> None:
    async def check() -> None:
        joined, done = await begin(joins=False)
        joined.write(b"100 Continue")
        assert done == [b"100 Continue"]

    asyncio.run(check())


@pytest.mark.parametrize("end", ["close", "write_eof"])
def test_what_is_held_back_is_sent_before_the_end(end: str) -> None:
    async def check() -> None:
        joined, done = await begin()
        joined.write(b"head")
        getattr(joined, end)()
        await asyncio.sleep(0)
        assert done == [b"head", end.removeprefix("write_")]

    asyncio.run(check())


def test_a_long_part_is_sent_as_it_is_after_what_came_before_it() -> None:
    async def check() -> None:
        joined, done = await begin()
        long = bytes(MOST_JOINED + 1)
        joined.write(b"head")
        joined.write(long)
        joined.write(b"more")
        assert done == [b"head", long, b"more"]
        assert done[1] is long  # not copied
        await asyncio.sleep(0)
        assert len(done) == 3

    asyncio.run(check())


def test_a_stream_without_a_pause_is_held_back_no_longer_than_its_first_parts() -> None:
    async def check() -> None:
        joined, done = await begin()
        for part in (b"head,", b"1,", b"2,", b"3,", b"4,"):
            joined.write(part)
        assert done == [b"head,1,2,", b"3,", b"4,"]

    asyncio.run(check())


def test_all_else_is_the_transports_own() -> None:
    async def check() -> None:
        joined, _ = await begin()
        assert joined.get_extra_info("peername") == "somebody"

    asyncio.run(check())


async def whole(scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
    """Respond with a head and two parts, of which nothing waits."""
    assert scope["type"] == "http"
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})
    await send({"type": "http.response.body", "body": b"two"})


def test_a_response_that_is_there_as_a_whole_comes_in_one_piece() -> None:
    async def check() -> bytes:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            config = uvicorn.Config(
                whole, http=protocol_class(Settings()), lifespan="off", log_level="error"
            )
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            first = await reader.read(1 << 16)
            writer.close()
            server.should_exit = True
            await serving
            return first

    first = asyncio.run(check())
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert first.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
