# SPDX-License-Identifier: GPL-3.0-only
"""Which pages of other origins may use this server, and what browsers are told about it (CORS)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from modeld.errors import ConfigurationError
from modeld.httpapi.access.keys import Keys
from modeld.httpapi.exchange.exchange import exchange_of
from modeld.settings import Settings

PREFLIGHT: Final = "preflight"
"""The route of what a browser asks before it sends a page's request."""

MAX_AGE_S: Final = 600
"""How long a browser need not ask again."""

_ANY: Final = "*"
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_ORIGIN: Final = re.compile(
    r"(?!http:.*:80$|https:.*:443$)"
    r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
)
_NAMED: Final = r"(?!null$).+"
_LOOPBACK: Final = r"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?"


class AllowedOrigins:
    """The origins whose pages may use this server: some, those of this machine, or all.

    ``null`` is never one of them: any page can be made to have it.
    """

    def __init__(self, origins: Sequence[str] = (), *, loopback: bool = False) -> None:
        patterns = [_NAMED if each == _ANY else re.escape(each) for each in origins]
        self.pattern = "|".join([*patterns, _LOOPBACK] if loopback else patterns)
        self._matches = re.compile(self.pattern).fullmatch

    @classmethod
    def from_settings(cls, settings: Settings, keys: Keys) -> AllowedOrigins:
        """Return what the settings allow.

        Raises:
            ConfigurationError: one of ``cors_origins`` is no origin as browsers write it, or all
                are allowed where no key is needed.
        """
        for each in settings.cors_origins:
            if each == _ANY and not keys:
                raise _refusal(
                    "'*' would let every page on the web use this server, as it needs no key;"
                    " name the origins, or set api_key_file too"
                )
            if each != _ANY:
                _check_origin(each)
        return cls(settings.cors_origins, loopback=settings.cors_loopback)

    def __bool__(self) -> bool:
        return bool(self.pattern)

    def allows(self, origin: str) -> bool:
        """Return whether pages of this origin may use the server."""
        return bool(self.pattern) and self._matches(origin) is not None


class Cors:
    """Responds to preflights of all routes, and tells browsers who may read the other responses.

    It stands before everything that refuses: a preflight has no key, and a page is to see errors.
    No credentials are allowed, so a page has to bring a key itself. Which headers a page may send
    is not restricted, for programs add some of their own.
    """

    def __init__(self, app: ASGIApp, origins: AllowedOrigins) -> None:
        self._app = CORSMiddleware(
            app,
            allow_origin_regex=origins.pattern,
            allow_methods=_METHODS,
            allow_headers=[_ANY],
            allow_private_network=True,
            expose_headers=[_ANY],
            max_age=MAX_AGE_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if _is_preflight(scope):
            exchange_of(scope).enter(PREFLIGHT)
        await self._app(scope, receive, send)


def _is_preflight(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] != "OPTIONS":
        return False
    headers = Headers(scope=scope)
    return "origin" in headers and "access-control-request-method" in headers


def _check_origin(origin: str) -> None:
    """Refuse what no browser sends as an origin, because it would never match.

    Raises:
        ConfigurationError: it is none.
    """
    if _ORIGIN.fullmatch(origin) is None:
        raise _refusal(
            f"{origin!r} is no origin as browsers write it: a scheme, a host in small letters and"
            " the port unless it is the scheme's own, such as https://chat.example or"
            " http://192.168.1.7:3000, without a path and without a slash at the end"
        )


def _refusal(detail: str) -> ConfigurationError:
    return ConfigurationError(f"cors_origins: {detail}", field="cors_origins")
