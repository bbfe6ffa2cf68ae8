# SPDX-License-Identifier: GPL-3.0-only
"""Decides whether a request that a server has not begun to serve is sent again. Pure."""

from __future__ import annotations

from typing import Final

FIRST_WAIT_S: Final = 0.25
LONGEST_WAIT_S: Final = 4.0

_BUSY: Final = frozenset({502, 503})
_TOO_MANY: Final = 429


class Retries:
    """The tries of one request, which may wait ``within_s`` in all between them."""

    def __init__(self, within_s: float) -> None:
        self._left_s = within_s
        self._next_s = FIRST_WAIT_S
        self._has_reconnected = False

    def after_refusal(
        self, status: int, retry_after_s: float | None, chance: float
    ) -> float | None:
        """Return the seconds until the next try, or ``None``: the response stands.

        A server that is busy or starting may serve the same request later. One that has had too
        much says when, or is not asked again. ``chance``, from 0 to 1, spreads those who were
        refused at once.
        """
        if status == _TOO_MANY and retry_after_s is None:
            return None
        if status not in _BUSY and status != _TOO_MANY:
            return None
        return self._wait_s(chance, retry_after_s or 0.0)

    def after_disconnect(self) -> float | None:
        """Return the same for a request whose connection was lost before a response began.

        The server may have closed a connection that was kept, just before it was used again: once
        more, at once. Or the request may be what it dies of, so never more than that.
        """
        if self._has_reconnected:
            return None
        self._has_reconnected = True
        return 0.0

    def after_failure(self, chance: float) -> float | None:
        """Return the same for a request that has never reached the server."""
        return self._wait_s(chance, 0.0)

    def _wait_s(self, chance: float, said_s: float) -> float | None:
        # Never at once, also where the server says so: it would be asked without end.
        wait_s = max(self._next_s * (0.5 + chance / 2), said_s)
        if wait_s > self._left_s:
            return None
        self._left_s -= wait_s
        self._next_s = min(self._next_s * 2, LONGEST_WAIT_S)
        return wait_s
