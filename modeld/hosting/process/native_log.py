# SPDX-License-Identifier: GPL-3.0-only
"""Reads what a worker writes to its standard error, without ever blocking the worker."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from typing import IO, Final

KEPT_LINES: Final = 20
MAX_LINE_BYTES: Final = 500
LINES_PER_SECOND: Final = 50
MAX_PIPE_BYTES: Final = 1 << 20

log = logging.getLogger("modeld.worker")


class NativeLog(asyncio.Protocol):
    """Reads the pipe, keeps the last lines and logs them, at most so many a second.

    A flood costs the worker nothing (the pipe is always emptied) and the log little: lines over
    the rate are counted and dropped, long ones are cut.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.label = "warm"
        self._clock = clock
        self._transport: asyncio.BaseTransport | None = None
        self._tail: deque[str] = deque(maxlen=KEPT_LINES)
        self._partial = b""
        self._second = 0
        self._logged = 0
        self._dropped = 0

    def tail(self) -> tuple[str, ...]:
        """Return the last lines, oldest first."""
        return tuple(self._tail)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the pipe, to close it."""
        self._transport = transport

    def close(self) -> None:
        """Read no more."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Split what came into lines; of a long burst only the end can matter for the tail."""
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = self._partial + lines[0]
            self._partial = rest[:MAX_LINE_BYTES]
        else:
            self._partial = (self._partial + rest)[:MAX_LINE_BYTES]
        skipped = max(0, len(lines) - KEPT_LINES - LINES_PER_SECOND)
        self._dropped += skipped
        for line in lines[skipped:]:
            self._take(line)

    def drain(self, pipe: IO[bytes]) -> None:
        """Take what the worker, which is gone, has written before it went and nobody has read.

        No more than a pipe holds: a process of the worker's own may go on writing.
        """
        left = MAX_PIPE_BYTES
        while left > 0 and not pipe.closed:
            try:
                data = os.read(pipe.fileno(), left)
            except OSError:  # nothing there now (it never blocks), or nothing more to read
                return
            if not data:
                self.eof_received()
                return
            left -= len(data)
            self.data_received(data)

    def eof_received(self) -> None:
        """Take what is left as the last line."""
        if self._partial:
            self._take(self._partial)
            self._partial = b""

    def _take(self, line: bytes) -> None:
        text = line[:MAX_LINE_BYTES].decode(errors="replace").rstrip()
        if not text:
            return
        self._tail.append(text)
        second = int(self._clock())
        if second != self._second:
            if self._dropped:
                log.debug("%s: %d lines dropped", self.label, self._dropped)
            self._second, self._logged, self._dropped = second, 0, 0
        if self._logged < LINES_PER_SECOND:
            self._logged += 1
            log.debug("%s: %s", self.label, text)
        else:
            self._dropped += 1
