# SPDX-License-Identifier: GPL-3.0-only
"""Decides when a server that starts stalls or takes too long. Pure: time is an argument."""

from __future__ import annotations

from modeld.errors import LoadFailedError


class Start:
    """Watches one start.

    A server stalls when neither its output nor its health has changed for ``stall_s``; whatever it
    does, it has ``timeout_s`` in all.
    """

    def __init__(self, *, stall_s: float, timeout_s: float, now_s: float) -> None:
        self._stall_s = stall_s
        self._timeout_s = timeout_s
        self._begun_s = now_s
        self._sign_s = now_s
        self._seen: tuple[int | None, int] = (None, 0)

    def note(self, health: int | None, output_bytes: int, now_s: float) -> bool:
        """Take note of the status of its health (``None``: no response), and of how much it has
        written; return whether that is a sign of life."""
        seen = (health, output_bytes)
        has_changed, self._seen = seen != self._seen, seen
        if has_changed:
            self._sign_s = now_s
        return has_changed

    def check(self, now_s: float) -> None:
        """Give the start up where it is time to.

        Raises:
            LoadFailedError: it stalls or takes too long.
        """
        health = self._seen[0]
        said = "does not respond" if health is None else f"responds with HTTP status {health}"
        if now_s - self._sign_s >= self._stall_s:
            raise LoadFailedError(
                f"the server stalls at its start: it has written nothing for {self._stall_s:g} s"
                f" and {said}"
            )
        if now_s - self._begun_s >= self._timeout_s:
            raise LoadFailedError(f"the server is not ready after {self._timeout_s:g} s: it {said}")
