# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import socket

from modeld.httpapi.server.reader_deadline import UNSENT_BYTES, ReaderDeadline

PATIENCE_S = 20.0


class Transport(asyncio.Transport):
    """Holds ``waiting`` bytes, of which its client takes one each time that anybody looks."""

    def __init__(self, sock: socket.socket, *, waiting: int, taken: int) -> None:
        super().__init__({"socket": sock})
        self.waiting = waiting
        self.taken = taken
        self.high: int | None = None
        self.aborted = asyncio.Event()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        if self.taken:
            self.taken -= 1
            self.waiting -= 1
        return self.waiting

    def abort(self) -> None:
        self.aborted.set()


def test_a_client_has_time_as_long_as_it_takes_something() -> None:
    async def check() -> None:
        with socket.socket() as sock:
            transport = Transport(sock, waiting=20, taken=10)
            ReaderDeadline(asyncio.get_running_loop(), transport, 0.001).start()
            await asyncio.wait_for(transport.aborted.wait(), PATIENCE_S)
            assert transport.waiting == 10

    asyncio.run(check())


def test_a_client_that_has_taken_everything_has_no_deadline() -> None:
    async def check() -> None:
        with socket.socket() as sock:
            loop = asyncio.get_running_loop()
            done, late = (Transport(sock, waiting=1, taken=0) for _ in range(2))
            deadline = ReaderDeadline(loop, done, 0.001)
            deadline.start()
            deadline.stop()
            deadline.stop()
            ReaderDeadline(loop, late, 0.001).start()
            await asyncio.wait_for(late.aborted.wait(), PATIENCE_S)
            assert not done.aborted.is_set()

    asyncio.run(check())


def test_every_byte_that_has_to_wait_is_reported() -> None:
    async def check() -> None:
        with socket.socket() as sock:
            transport = Transport(sock, waiting=0, taken=0)
            ReaderDeadline(asyncio.get_running_loop(), transport, 1)
            assert transport.high == 0

    asyncio.run(check())


def test_the_kernel_holds_little_that_is_not_sent() -> None:
    async def check() -> None:
        with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as local:
            for sock in (tcp, local):
                transport = Transport(sock, waiting=0, taken=0)
                ReaderDeadline(asyncio.get_running_loop(), transport, 1.0)
            limit = tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
            assert limit == UNSENT_BYTES

    asyncio.run(check())
