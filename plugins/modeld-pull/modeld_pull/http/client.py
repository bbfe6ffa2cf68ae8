# SPDX-License-Identifier: GPL-3.0-only
"""The HTTP client of a pull: redirects, the token, what went wrong."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp
from yarl import URL

from modeld.errors import ModeldError
from modeld_pull.errors import PullFailedError, PullUnusableError
from modeld_pull.http.addresses import IsPublic, Resolver, is_public
from modeld_pull.http.refusals import RANGE, refusal_of

CONNECT_S: Final = 15.0
MOST_REDIRECTS: Final = 8
LONGEST_HEADER: Final = 32 << 10
"""The addresses that a hub redirects to have signatures in them."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_FINE: Final = frozenset({200, 206, RANGE})
_LOST: Final = (aiohttp.ClientError, OSError, TimeoutError)

log = logging.getLogger("modeld.pull")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A response after all redirects, of which nothing was read.

    ``linked_etag`` and ``linked_size`` are what the hub itself says of the file that it redirects
    to.
    """

    response: aiohttp.ClientResponse
    linked_etag: str = ""
    linked_size: int | None = None


class PullClient:
    """Asks sources for documents and files. Make it on the event loop that uses it.

    ``start`` is the address that the operator has allowed: the hub's, or that of a file. The
    ``token`` goes to the server at this address and to no other, and nobody on the way can read it.
    """

    def __init__(
        self,
        start: str,
        *,
        token: str | None = None,
        stall_timeout_s: float,
        public: IsPublic = is_public,
    ) -> None:
        self._start = URL(start, encoded=True)
        self._token = token
        self._stall_timeout_s = stall_timeout_s
        self._proxies = {
            scheme: proxy
            for scheme, proxy in getproxies_environment().items()
            if scheme in {"http", "https"}
        }
        hosts = {URL(proxy).raw_host or "" for proxy in self._proxies.values()}
        trusted = frozenset({self._start.raw_host or ""})
        self._resolver = Resolver(trusted, frozenset(hosts), public)
        self._session = aiohttp.ClientSession(
            headers={"User-Agent": "modeld-pull", "Accept-Encoding": "identity"},
            connector=aiohttp.TCPConnector(resolver=self._resolver, limit=4),
            cookie_jar=aiohttp.DummyCookieJar(),
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_S, sock_read=stall_timeout_s
            ),
        )
        self._note_unused_token()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    @asynccontextmanager
    async def get(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Opened]:
        """Open an address; its status is 200, 206 or 416.

        Raises:
            PullFailedError: the source cannot be reached or asked now; it may be later.
            ModeldError: it refuses, or leads to where a pull must not go.
        """
        try:
            opened = await self._followed(URL(url, encoded=True), headers or {})
        except _LOST as exc:
            raise self._failed(exc, URL(url, encoded=True).raw_host) from exc
        except ValueError as exc:  # yarl, or what writes the request
            raise PullUnusableError(f"{self._start.raw_host} leads to what is no address") from exc
        try:
            yield opened
        finally:
            opened.response.close()

    async def pieces(self, opened: Opened) -> AsyncGenerator[bytes, None]:
        """Yield a response's body as it comes.

        Raises:
            PullFailedError: it breaks off.
        """
        try:
            async for piece in opened.response.content.iter_any():
                yield piece
        except _LOST as exc:
            raise self._failed(exc, opened.response.url.host) from exc

    async def _followed(self, url: URL, headers: Mapping[str, str]) -> Opened:
        etag, size = "", None
        for _ in range(MOST_REDIRECTS + 1):
            response = await self._asked(url, headers)
            etag = etag or response.headers.get("X-Linked-Etag", "")
            size = _whole(response.headers.get("X-Linked-Size")) if size is None else size
            if response.status not in _REDIRECTS:
                await self._check(response)
                return Opened(response=response, linked_etag=_bare(etag), linked_size=size)
            location = response.headers.get("Location", "")
            response.close()
            url = _next(url, location)
        raise PullUnusableError(f"{self._start.host} redirects more than {MOST_REDIRECTS} times")

    async def _asked(self, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        self._resolver.check_literal(url.raw_host or "")
        sent = dict(headers)
        if self._may_have_token(url):
            sent["Authorization"] = f"Bearer {self._token}"
        proxy = self._proxy_of(url)
        return await self._session.get(url, headers=sent, allow_redirects=False, proxy=proxy)

    def _proxy_of(self, url: URL) -> str | None:
        return None if proxy_bypass(url.raw_host or "") else self._proxies.get(url.scheme)

    def _may_have_token(self, url: URL) -> bool:
        is_own = url.origin() == self._start.origin()
        return bool(self._token) and is_own and self._is_secret(url)

    def _is_secret(self, url: URL) -> bool:
        """Return whether nobody on the way can read what is sent there."""
        is_here = url.host in {"localhost", "127.0.0.1", "::1"} and self._proxy_of(url) is None
        return url.scheme == "https" or is_here

    def _note_unused_token(self) -> None:
        if self._token and not self._is_secret(self._start):
            log.warning("the token is not sent to %s: it is not encrypted", self._start.origin())

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        """Refuse what is no file and no document.

        Raises:
            ModeldError: it is an error, or has a coding that was not asked for.
        """
        error: ModeldError | None = None
        if response.status not in _FINE:
            error = refusal_of(response.url.host or "", response.status, response.headers)
        elif response.headers.get("Content-Encoding", "identity") != "identity":
            error = PullUnusableError(f"{response.url.host} sends the file in another coding")
        if error is not None:
            response.close()
            raise error

    def _failed(self, exc: Exception, host: str | None) -> ModeldError:
        """Return the error; no address is in it, which may have a signature in its query."""
        error: ModeldError
        match exc:
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
                error = PullUnusableError(f"{host} cannot be trusted: {_certificate_fault(exc)}")
            case aiohttp.ServerTimeoutError() | TimeoutError():
                error = PullFailedError(f"{host} has sent nothing for {self._stall_timeout_s:g} s")
            case aiohttp.ClientConnectorDNSError():
                error = PullFailedError(f"{host} cannot be found; is there a network?")
            case aiohttp.ClientConnectorError(os_error=OSError(strerror=reason)):
                error = PullFailedError(f"{host} cannot be reached: {str(reason).lower()}")
            case aiohttp.InvalidURL():
                error = PullUnusableError(f"{host} leads to what is no address")
            case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError() | OSError():
                error = PullFailedError(f"{host} broke off")
            case _:
                error = PullUnusableError(f"{host} speaks no sound HTTP ({type(exc).__name__})")
        return error


def _next(url: URL, location: str) -> URL:
    """Return where a redirect leads.

    Raises:
        PullUnusableError: nowhere, or to where everybody can read along.
    """
    try:
        found = url.join(URL(location, encoded=True))
    except ValueError:
        found = URL()
    if not location or found.scheme not in {"http", "https"} or not found.host:
        raise PullUnusableError(f"{url.host} redirects to what is no address")
    if found.user or found.password:
        raise PullUnusableError(f"{url.host} redirects to an address with a password")
    if url.scheme == "https" and found.scheme == "http":
        raise PullUnusableError(f"{url.host} redirects to {found.host} without encryption")
    return found


def _certificate_fault(exc: Exception) -> str:
    cause = getattr(exc, "certificate_error", None) or getattr(exc, "os_error", None) or exc
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is no use ({cause.verify_message})"
    return "no encryption could be agreed on"


def _bare(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 20 else None
