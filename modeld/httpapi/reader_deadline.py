# SPDX-License-Identifier: GPL-3.0-only
"""Drops a connection whose client has stopped to take its answer."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct

logger = logging.getLogger("modeld.http")

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ReaderDeadline:
    """The time that one client has to take something of what waits for it.

    It is told by the transport when bytes begin to wait and when none are left, also after the
    answer is complete and the connection closing. A client that takes a little each ``limit_s``
    is never dropped; one that takes nothing is dropped after one to two times ``limit_s``.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, limit_s: float
    ) -> None:
        # Without a high-water mark the transport reports every byte that has to wait.
        transport.set_write_buffer_limits(high=0)
        self._loop = loop
        self._transport = transport
        self._limit_s = limit_s
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Bytes wait to be taken."""
        size = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(self._limit_s, self._check, size)

    def stop(self) -> None:
        """Nothing waits any more, or the connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self, size_before: int) -> None:
        if self._transport.get_write_buffer_size() < size_before:
            self.start()
            return
        logger.debug("a client took nothing of its answer for %g s and is dropped", self._limit_s)
        # Without a reset the kernel would keep what is unsent for minutes.
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()
