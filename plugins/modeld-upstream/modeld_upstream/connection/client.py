# SPDX-License-Identifier: GPL-3.0-only
"""The HTTP client for one server: a pool of connections, tries, streams, errors."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import aiohttp
import msgspec

from modeld.errors import ModeldError
from modeld.retry_after import retry_after_s
from modeld_upstream.connection.errors import (
    UpstreamError,
    UpstreamLostError,
    UpstreamStalledError,
    error_of,
    told,
)
from modeld_upstream.connection.open_requests import OpenRequests
from modeld_upstream.connection.retries import Retries
from modeld_upstream.wire.events import END, EventSplitter, TooLongError

KEEP_IDLE_S: Final = 4.0
"""How long a connection is kept unused: many servers close theirs after 5 s."""

FINISH_S: Final = 1.0
"""How long a response may take to end after its last event, for its connection to be used again."""

HEALTH_S: Final = 5.0
MAX_BODY_BYTES: Final = 64 << 20
MAX_ERROR_BYTES: Final = 64 << 10
EVENTS: Final = "text/event-stream"

_LOST: Final = (aiohttp.ClientError, TimeoutError, RuntimeError)
"""What aiohttp raises where a connection is no more; the last where it was closed on this side."""

_encode = msgspec.json.Encoder().encode


class UpstreamClient:
    """Talks to the server ``name`` at ``base_url``. Make it on the event loop that uses it.

    ``is_alive`` says whether it is worth to try again.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        key: str | None = None,
        connect_timeout_s: float,
        stall_timeout_s: float,
        retry_for_s: float,
        is_alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._root_url = self._base_url.removesuffix("/v1")
        self.stall_timeout_s = stall_timeout_s
        self._retry_for_s = retry_for_s
        self._is_alive = is_alive
        self.heard_s = 0.0
        """When a response to a request has last begun or gone on, by the event loop's clock."""

        self._open = OpenRequests()
        self._finishing: set[asyncio.Task[None]] = set()
        headers = {"User-Agent": "modeld-upstream", "Accept-Encoding": "identity"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_IDLE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=connect_timeout_s, sock_read=stall_timeout_s
            ),
        )

    async def aclose(self) -> None:
        """Close all connections. What still runs on them fails."""
        self._open.end()
        for task in self._finishing:
            task.cancel()
        await asyncio.gather(*self._finishing, return_exceptions=True)
        await self._session.close()

    async def events(
        self, path: str, body: dict[str, Any], request_id: str
    ) -> AsyncGenerator[bytes, None]:
        """Yield the data of each event as it comes, with the one that ends the stream.

        Leaving early closes the connection, by which the server learns that nobody waits any more.

        Raises:
            ModeldError: the server refuses the request.
            UpstreamLostError: it cannot be reached, is silent for too long, or breaks off.
            UpstreamError: what it sends is no stream of events.
        """
        response = await self._opened(path, body, request_id)
        has_ended = False
        try:
            _check_type(self.name, response)
            splitter = EventSplitter()
            with self._open.reading(response):
                async for received in response.content.iter_any():
                    self._hear()
                    for event in splitter.feed(received):
                        has_ended = event == END
                        yield event
                        if has_ended:
                            return
        except TooLongError as exc:
            raise UpstreamError(f"server {self.name!r}: {exc}") from exc
        except _LOST as exc:
            raise self._failed(exc) from exc
        finally:
            if has_ended:
                self._finish(response)
            else:
                response.close()

    async def post(self, path: str, body: dict[str, Any], request_id: str = "") -> bytes:
        """Return the whole body of a response. A path with two slashes is below the root.

        Raises:
            ModeldError: as :meth:`events`.
        """
        response = await self._opened(path, body, request_id)
        try:
            with self._open.reading(response):
                content = await _bounded(response, MAX_BODY_BYTES)
            self._hear()
        except _LOST as exc:
            raise self._failed(exc) from exc
        finally:
            response.release()
        if len(content) > MAX_BODY_BYTES:
            raise UpstreamError(f"server {self.name!r} sent more than {MAX_BODY_BYTES} bytes")
        return content

    async def get(self, path: str, timeout_s: float = HEALTH_S) -> tuple[int, bytes]:
        """Return the status and the body of a small response, without a second try.

        Raises:
            UpstreamLostError: there is none.
        """
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.get(self._url(path), allow_redirects=False) as response,
            ):
                return response.status, await _bounded(response, MAX_BODY_BYTES)
        except _LOST as exc:
            raise self._failed(exc) from exc

    async def _opened(
        self, path: str, body: dict[str, Any], request_id: str
    ) -> aiohttp.ClientResponse:
        """Return a response that is fine so far, of which nothing was read.

        Raises:
            ModeldError: as :meth:`events`.
        """
        try:
            async with self._open.waiting():
                return await self._tried(path, body, request_id)
        except TimeoutError as exc:
            raise self._failed(exc) from exc

    async def _tried(
        self, path: str, body: dict[str, Any], request_id: str
    ) -> aiohttp.ClientResponse:
        """Return the same, after as many tries as it takes and as there may be."""
        content, retries = _encode(body), Retries(self._retry_for_s)
        headers = {"Content-Type": "application/json"}
        if request_id.isascii() and request_id.isprintable():
            headers["X-Request-ID"] = request_id
        while True:
            wait_s: float | None = None
            try:
                response = await self._session.post(
                    self._url(path), data=content, headers=headers, allow_redirects=False
                )
            except _LOST as exc:
                if self._is_alive():
                    wait_s = _wait_s(retries, exc)
                if wait_s is None:
                    raise self._failed(exc) from exc
            else:
                self._hear()
                if response.status == 200:
                    return response
                error, said_s = await self._refusal(response)
                if self._is_alive():
                    chance = random.random()  # noqa: S311  (no secret)
                    wait_s = retries.after_refusal(response.status, said_s, chance)
                if wait_s is None:
                    raise error
            await asyncio.sleep(wait_s)

    async def _refusal(self, response: aiohttp.ClientResponse) -> tuple[ModeldError, float | None]:
        """Return what a response that is not fine means, and how long it says to wait."""
        try:
            content = await _bounded(response, MAX_ERROR_BYTES)
        except _LOST:
            content = b""
        finally:
            response.release()
        said_s = retry_after_s(response.headers)
        error = error_of(self.name, response.status, told(content), retry_after_s=said_s)
        return error, said_s

    def _hear(self) -> None:
        self.heard_s = asyncio.get_running_loop().time()

    def _url(self, path: str) -> str:
        if path.startswith("//"):
            return f"{self._root_url}{path[1:]}"
        return f"{self._base_url}{path}"

    def _failed(self, exc: Exception) -> UpstreamLostError:
        named = f"server {self.name!r}"
        match exc:
            case aiohttp.SocketTimeoutError():
                return UpstreamStalledError(
                    f"{named} has sent nothing for {self.stall_timeout_s:g} s",
                    retry_after_s=1.0,
                )
            case aiohttp.ClientConnectorError() | TimeoutError():
                return UpstreamLostError(
                    f"{named} cannot be reached at {self._base_url}: {_said(exc)}",
                    retry_after_s=1.0,
                )
            case _:
                return UpstreamLostError(f"{named} broke off: {_said(exc)}", retry_after_s=1.0)

    def _finish(self, response: aiohttp.ClientResponse) -> None:
        """Let a response end beside whoever waits for its chunks; then its connection is free."""
        if response.content.at_eof():
            response.release()
            return
        task = asyncio.get_running_loop().create_task(_read_out(response))
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        # Here, for a task that is cancelled before it has begun runs no block of its own. It closes
        # the connection of a response that has not ended.
        task.add_done_callback(lambda _task: response.release())


async def _read_out(response: aiohttp.ClientResponse) -> None:
    with contextlib.suppress(*_LOST):
        async with asyncio.timeout(FINISH_S):
            while await response.content.readany():
                pass


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return a body, or its first bytes and one more than ``limit``."""
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            break
    return b"".join(pieces)[: limit + 1]


def _check_type(server: str, response: aiohttp.ClientResponse) -> None:
    if response.content_type != EVENTS:
        raise UpstreamError(
            f"server {server!r} sent {response.content_type} where a stream of events was due"
        )


def _wait_s(retries: Retries, exc: Exception) -> float | None:
    """Return the seconds until the next try of a request that has no response, if there is one."""
    match exc:
        case aiohttp.ClientSSLError():
            return None
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return retries.after_failure(random.random())  # noqa: S311  (no secret)
        case aiohttp.ClientOSError() | aiohttp.ServerDisconnectedError():
            return retries.after_disconnect()
        case _:
            return None


def _said(exc: Exception) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
