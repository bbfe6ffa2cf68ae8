# SPDX-License-Identifier: GPL-3.0-only
"""Sends one request and keeps its times."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from typing import Final

import httpx

from modeld.retry_after import retry_after_s
from modeld_bench.apis.api import Api
from modeld_bench.apis.reception import Reception
from modeld_bench.outcome import Failed, Outcome

MAX_BODY_BYTES: Final = 4 << 20
NOT_CONNECTED: Final = "cannot connect"
LOST: Final = "connection lost"
TIMEOUT: Final = "timeout"


class TooLongError(Exception):
    """A document is longer than MAX_BODY_BYTES."""


def http_client(url: str, key: str | None) -> httpx.AsyncClient:
    """Return a client with a connection for each request, which nothing of the environment rules.

    Some servers close a connection after a stream without a word, and the next request on it is
    lost. A proxy would be measured too, and a .netrc file would change whose requests they are.
    """
    headers = {
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": "modeld-bench",
    }
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return httpx.AsyncClient(
        base_url=url,
        headers=headers,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        timeout=None,  # noqa: S113  (each request has one deadline for all its stages)
        trust_env=False,
        verify=ssl.create_default_context() if url.startswith("https:") else False,
    )


class _Sending:
    """Notes when a request is sent, which is when its connection is there."""

    def __init__(self) -> None:
        self.moment_s = time.perf_counter()

    async def trace(self, event: str, info: object) -> None:  # noqa: ARG002  (httpcore's signature)
        """Take note of what httpcore does."""
        if event == "http11.send_request_headers.started":
            self.moment_s = time.perf_counter()


class Client:
    """Sends requests to one API. It never repeats one."""

    def __init__(self, http: httpx.AsyncClient, api: Api, timeout_s: float) -> None:
        self._http = http
        self._api = api
        self._timeout_s = timeout_s
        self._headers = {"Accept": api.media_type, "Content-Type": "application/json"}

    async def send(self, prompt: str) -> Outcome:
        """Send one request, read its response to the end, and return what became of it."""
        body = self._api.body(prompt)
        sending = _Sending()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._send(body, sending)
        except TimeoutError:
            said = f"no whole response within {self._timeout_s:g} s"
            return _failed(sending.moment_s, TIMEOUT, said)
        except httpx.ConnectError as exc:
            return _failed(sending.moment_s, NOT_CONNECTED, cause(exc))
        except httpx.HTTPError as exc:
            return _failed(sending.moment_s, LOST, cause(exc))

    async def _send(self, body: bytes, sending: _Sending) -> Outcome:
        async with self._http.stream(
            "POST",
            self._api.path,
            content=body,
            headers=self._headers,
            extensions={"trace": sending.trace},
        ) as response:
            sent_s = sending.moment_s
            if response.status_code != 200:
                return await self._refused(response, sent_s)
            kind = response.headers.get("content-type", "no content type")
            if not kind.startswith(self._api.media_type):
                return _failed(sent_s, "no stream", f"{kind}, not {self._api.media_type}")
            reception = Reception(self._api)
            async for data in response.aiter_raw():
                reception.feed(data, time.perf_counter())
                if reception.failed:
                    break
            ended_s = time.perf_counter()
            reception.close(ended_s)
            return reception.outcome(sent_s, ended_s)

    async def _refused(self, response: httpx.Response, sent_s: float) -> Failed:
        try:
            body = await read_body(response)
        except TooLongError:
            body = b""
        fault = self._api.fault(body)
        return Failed(
            sent_s=sent_s,
            ended_s=time.perf_counter(),
            reason=f"{response.status_code} {fault.reason}".rstrip(),
            message=fault.message,
            retry_after_s=retry_after_s(response.headers),
        )


async def read_body(response: httpx.Response) -> bytes:
    """Return the body of a response that is no stream.

    Raises:
        TooLongError: it is longer than MAX_BODY_BYTES.
    """
    body = bytearray()
    async for data in response.aiter_raw():
        body += data
        if len(body) > MAX_BODY_BYTES:
            raise TooLongError
    return bytes(body)


def cause(error: httpx.HTTPError) -> str:
    """Return what lies at the bottom of an error: "connection refused", say."""
    found, below = str(error), error.__cause__ or error.__context__
    while below is not None:
        if isinstance(below, socket.gaierror):
            found = str(below.strerror).lower()
        elif isinstance(below, OSError) and below.errno:
            found = os.strerror(below.errno).lower()
        below = below.__cause__ or below.__context__
    return found or type(error).__name__


def _failed(sent_s: float, reason: str, message: str) -> Failed:
    return Failed(sent_s=sent_s, ended_s=time.perf_counter(), reason=reason, message=message)
