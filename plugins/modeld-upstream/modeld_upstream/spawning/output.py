# SPDX-License-Identifier: GPL-3.0-only
"""What a server writes to its output and to its standard error."""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

KEPT_LINES: Final = 20
MAX_LINE_BYTES: Final = 500

log = logging.getLogger("modeld.upstream")


class Output:
    """Keeps the last lines, cut where they are long, and logs all at the level ``debug``."""

    def __init__(self, label: str) -> None:
        self.seen_bytes = 0
        """How much has come. That it grows is a sign of life."""

        self._label = label
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take in what was written."""
        self.seen_bytes += len(data)
        # A carriage return begins a line of its own: progress bars write no other ends.
        *lines, rest = data.replace(b"\r", b"\n").split(b"\n")
        if lines:
            lines[0] = self._rest + lines[0]
            self._rest = b""
        self._rest = (self._rest + rest)[:MAX_LINE_BYTES]
        for line in lines:
            self._take(line)

    def tail(self) -> tuple[str, ...]:
        """Return the last lines, oldest first."""
        last = self._rest.decode(errors="replace").strip()
        return (*self._lines, last)[-KEPT_LINES:] if last else tuple(self._lines)

    def _take(self, line: bytes) -> None:
        text = line[:MAX_LINE_BYTES].decode(errors="replace").strip()
        if text:
            self._lines.append(text)
            log.debug("%s: %s", self._label, text)
