# SPDX-License-Identifier: GPL-3.0-only
"""Server-sent events, split as they come."""

from __future__ import annotations

from typing import Final

END: Final = b"[DONE]"
"""The data of the event that ends a stream."""

MAX_EVENT_BYTES: Final = 4 << 20


class TooLongError(Exception):
    """An event is longer than any that a server sends on purpose."""


class EventSplitter:
    """Puts the data of events together, whatever pieces they arrive in."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size_bytes = 0

    def feed(self, received: bytes) -> list[bytes]:
        """Return the data of all events that are complete by now, in their order.

        Raises:
            TooLongError: an event is over :data:`MAX_EVENT_BYTES`.
        """
        *lines, self._rest = (self._rest + received).split(b"\n")
        events: list[bytes] = []
        for ended in lines:
            line = ended.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._size_bytes += len(line)
            elif not line and self._data:
                events.append(b"\n".join(self._data))
                self._data, self._size_bytes = [], 0
        if self._size_bytes + len(self._rest) > MAX_EVENT_BYTES:
            raise TooLongError(f"an event has more than {MAX_EVENT_BYTES} bytes")
        return events
