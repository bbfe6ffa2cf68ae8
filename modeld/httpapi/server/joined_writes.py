# SPDX-License-Identifier: GPL-3.0-only
"""Sends the head of a response in one piece with the parts of its body that are there already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

MOST_JOINED: Final = 16 << 10
"""Longest part that is copied to be joined with others, in bytes."""

MOST_PARTS: Final = 3
"""How many parts are joined: a head, a part of a body, and the end. More would delay a stream whose
parts come without a pause, and hide from it that its client is behind."""


class JoinedWrites:
    """A transport in front of another one, which can hold back what is written.

    Each write is a system call, and wakes a client that has nothing to do with a head alone. What
    is held back is sent in the event loop's next turn, so that no head waits for a body. All else
    goes to the other transport: the order of what is written stays as long as nobody writes past
    this one.
    """

    write: Callable[[bytes], None]
    """Writes at once, or holds back. Who keeps it keeps one of the two."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._loop = loop
        self._transport = transport
        self._held: list[bytes] = []
        self.write = transport.write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def join_next(self) -> None:
        """Send the next part that is written with those that follow it in the same turn."""
        self.write = self._hold

    def close(self) -> None:
        """Send what is held back, and close."""
        self._flush()
        self._transport.close()

    def write_eof(self) -> None:
        """Send what is held back, and no more."""
        self._flush()
        self._transport.write_eof()

    def _hold(self, data: bytes) -> None:
        if len(data) > MOST_JOINED:
            self._flush()
            self._transport.write(data)
            return
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        if len(self._held) == MOST_PARTS:
            self._flush()

    def _flush(self) -> None:
        self.write = self._transport.write
        if self._held:
            held, self._held = b"".join(self._held), []
            self._transport.write(held)
