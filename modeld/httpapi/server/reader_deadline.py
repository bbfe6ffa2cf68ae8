# SPDX-License-Identifier: GPL-3.0-only
"""Drops a connection whose client has stopped reading its response."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from typing import Final

logger = logging.getLogger("modeld.http")

UNSENT_BYTES: Final = 64 << 10
"""How much of what waits for a client the kernel holds. It would take megabytes, and a client that
reads slowly would seem to take nothing for minutes, until a third of that is free again."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ReaderDeadline:
    """The time that one client has to take something of what waits for it.

    It is told by the transport when bytes begin to wait and when none are left, also after the
    response is complete and the connection closing. A client that takes a little each ``limit_s``
    is never dropped; one that takes nothing is dropped after one to two times ``limit_s``.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, limit_s: float
    ) -> None:
        # Without a high-water mark the transport reports every byte that has to wait.
        transport.set_write_buffer_limits(high=0)
        _limit_unsent(transport.get_extra_info("socket"))
        self._loop = loop
        self._transport = transport
        self._limit_s = limit_s
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Give the client its time, because bytes wait to be taken."""
        size = self._transport.get_write_buffer_size()
        self._timer = self._loop.call_later(self._limit_s, self._check, size)

    def stop(self) -> None:
        """Set no deadline any more: nothing waits, or the connection is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self, size_before: int) -> None:
        if self._transport.get_write_buffer_size() < size_before:
            self.start()
            return
        logger.debug("a client took nothing of its response for %g s and is dropped", self._limit_s)
        # Without a reset the kernel would keep what is unsent for minutes.
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()


def _limit_unsent(sock: socket.socket) -> None:
    """Let the transport learn soon what its client has taken."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
        with contextlib.suppress(OSError):  # some systems refuse it where the client has left
            sock.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES)
