# SPDX-License-Identifier: GPL-3.0-only
"""Tells systemd the state of the server; does nothing without systemd."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"

logger = logging.getLogger("modeld.server")


class Notifier:
    """The socket that ``NOTIFY_SOCKET`` names (``sd_notify(3)``)."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def send(self, state: str) -> None:
        """Send one state. A failure is logged: it is no reason to end the server."""
        name = self._environ.get("NOTIFY_SOCKET", "")
        if not name.startswith(("/", "@")):
            return
        target = "\0" + name[1:] if name.startswith("@") else name
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.settimeout(0)
                sock.sendto(state.encode(), target)
        except OSError as exc:
            logger.warning("cannot tell %s to %s: %s", state, name, exc.strerror)

    async def stay_alive(self) -> None:
        """Send signs of life, twice as often as systemd asks for them, until cancelled.

        They come from the event loop, so that a loop which is stuck is noticed.
        """
        interval_s = self._watchdog_s()
        while interval_s is not None:
            self.send(ALIVE)
            await asyncio.sleep(interval_s / 2)

    def _watchdog_s(self) -> float | None:
        """Return how long systemd waits for a sign of life from this process, if it does."""
        if self._environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return None
        micros = self._environ.get("WATCHDOG_USEC", "")
        return int(micros) / 1e6 if micros.isdecimal() and int(micros) else None
