# SPDX-License-Identifier: GPL-3.0-only
"""Refuses requests that a page of another origin makes with a visitor's browser."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import Scope

from modeld.errors import ForbiddenError
from modeld.httpapi.access.cors import AllowedOrigins

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_FOREIGN = frozenset({"cross-site", "same-site"})
"""What browsers call pages of other sites, and those of another port or a neighbouring name."""


class Origins:
    """Where requests may come from.

    ``trusted_hosts`` are the names by which the server may be addressed, against DNS rebinding;
    ``None`` means any, which is right where a host application decides. Pages of ``allowed``
    origins may change something here, others may not.
    """

    def __init__(self, trusted_hosts: Sequence[str] | None, allowed: AllowedOrigins) -> None:
        self._allowed = allowed
        self._hosts = None if trusted_hosts is None else frozenset(map(_plain, trusted_hosts))

    def check(self, scope: Scope) -> None:
        """Let a request pass that comes from where it may.

        Raises:
            ForbiddenError: it was addressed to another name, or a foreign page wants a change.
        """
        headers = Headers(scope=scope)
        if self._hosts is not None and _name(headers.get("host", "")) not in self._hosts:
            names = ", ".join(sorted(self._hosts))
            raise ForbiddenError(f"the Host header is not one of this server's names: {names}")
        is_foreign = headers.get("sec-fetch-site") in _FOREIGN
        if is_foreign and not is_reading(scope) and not self._is_allowed(headers):
            raise ForbiddenError(
                "a page of another origin may not change anything here; cors_origins lets it in"
            )

    def _is_allowed(self, headers: Headers) -> bool:
        """Return whether all that the browser calls the page's origin may use the server."""
        origins = headers.getlist("origin")
        return bool(origins) and all(map(self._allowed.allows, origins))


def is_reading(scope: Scope) -> bool:
    """Return whether a request is of a method that changes nothing by its definition."""
    return scope["type"] == "http" and scope.get("method", "GET") in _READING


def _name(host: str) -> str:
    """Return the name in a Host header, without its port."""
    if host.startswith("["):
        name, closing, _ = host.partition("]")
        return _plain(name) if closing else ""
    return _plain(host.partition(":")[0])


def _plain(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()
