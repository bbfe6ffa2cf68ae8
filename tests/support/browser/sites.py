# SPDX-License-Identifier: GPL-3.0-only
"""What can be visited: a server that a test has started, or one that was there before."""

from __future__ import annotations

from typing import Any, Protocol

import httpx


class Site(Protocol):
    """A running server; :class:`tests.support.http.served.Served` is one."""

    url: str

    def log(self) -> str:
        """What it has logged so far."""

    def get(self, path: str) -> httpx.Response:
        """Ask it without a browser."""

    def status(self) -> dict[str, Any]:
        """Its status document."""


class GivenSite:
    """A server that somebody else has started and keeps the log of."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def log(self) -> str:
        return f"the log of {self.url} is with whoever has started it\n"

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.get("/status").json()
        return status
