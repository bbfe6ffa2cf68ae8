# SPDX-License-Identifier: GPL-3.0-only
"""Ports of a range that nobody listens on."""

from __future__ import annotations

import random
import socket
from typing import Final

from modeld.errors import LoadFailedError

HOST: Final = "127.0.0.1"


class Ports:
    """Knows the ports that servers were given here, which need not listen on them yet."""

    def __init__(self) -> None:
        self._claimed: set[int] = set()

    def claim(self, first: int, last: int) -> int:
        """Return a free port from ``first`` to ``last``, and give it to nobody else.

        Raises:
            LoadFailedError: all are taken.
        """
        # Not from the first on: another process that looks at this moment would find the same, and
        # some servers share a port without a word.
        ports = range(first, last + 1)
        for port in random.sample(ports, len(ports)):
            if port not in self._claimed and is_free(port):
                self._claimed.add(port)
                return port
        raise LoadFailedError(f"all ports from {first} to {last} are taken; set others in ports")

    def release(self, port: int) -> None:
        """Let others have a port again."""
        self._claimed.discard(port)


def is_free(port: int) -> bool:
    """Return whether a server could listen on a port of this machine now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
        # What is left of ended connections does not keep a server from listening, nor this.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((HOST, port))
        except OSError:
            return False
    return True
