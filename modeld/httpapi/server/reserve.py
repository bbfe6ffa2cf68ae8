# SPDX-License-Identifier: GPL-3.0-only
"""Connections beyond the limit: few and short, and only probes are served on them."""

from __future__ import annotations

from typing import Final, Protocol

PROBES: Final = frozenset({b"/healthz", b"/readyz", b"/metrics"})
"""What is answered on a connection beyond the limit: a full server must not be taken for dead."""

PROBE_HEAD_S: Final = 1.0
"""How long such a connection may take to say what it wants."""


class Connection(Protocol):
    """What the reserve knows of a connection."""

    def make_room(self) -> None:
        """End at once."""


class Reserve:
    """Which connections are beyond the limit of ``connections``; it keeps at most ``size``."""

    def __init__(self, connections: int, size: int) -> None:
        self.limit = connections
        self._size = size
        self._members: dict[Connection, None] = {}  # in the order of their arrival

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._members

    def takes(self, connection: Connection, connected: int) -> bool:
        """Return whether this one of ``connected`` is beyond the limit, and note it if so."""
        if connected - len(self._members) <= self.limit:
            return False
        self._members[connection] = None
        return True

    def surplus(self) -> Connection | None:
        """Remove and return the member that has to make room, the oldest, if there are too many.

        Who comes last is kept, because a probe says what it wants at once, and a flood of
        connections that say nothing would keep it out otherwise.
        """
        if len(self._members) <= self._size:
            return None
        oldest = next(iter(self._members))
        del self._members[oldest]
        return oldest

    def leave(self, connection: Connection) -> None:
        """Forget a connection, which is gone, if it was a member."""
        self._members.pop(connection, None)


def is_probe(target: bytes) -> bool:
    """Return whether a request's target is one of the probes."""
    return target.partition(b"?")[0] in PROBES
