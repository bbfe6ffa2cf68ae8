# SPDX-License-Identifier: GPL-3.0-only
"""Responses that follow a pull: a stream of its progress, or one response at its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from modeld.errors import ClientTooSlowError
from modeld.json_text import json_line
from modeld_pull.server.body import document_of, failure_of
from modeld_pull.server.job import Job

NDJSON: Final = "application/x-ndjson"
JSON: Final = "application/json"
UNCACHED: Final = {"Cache-Control": "no-store"}

_TRAILING_MESSAGES: Final = 3


class Following(Response):
    """Tells a client of a pull until it is over, and lets go of the pull when the client leaves.

    As long as nothing has come, a failure is the response, with its status. ``write_timeout_s`` is
    how long the client may take nothing of a stream.
    """

    def __init__(self, job: Job, *, streams: bool, write_timeout_s: float) -> None:
        super().__init__()
        self._job = job
        self._streams = streams
        self._write_timeout_s = write_timeout_s

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response.

        Raises:
            ModeldError: the pull has failed, and nothing was sent yet.
            ClientTooSlowError: the client takes nothing any more.
        """
        with self._job.watched() as changed:
            telling = asyncio.ensure_future(self._tell(changed, send))
            left = asyncio.ensure_future(_left(receive))
            try:
                await asyncio.wait({telling, left}, return_when=asyncio.FIRST_COMPLETED)
                if telling.done():
                    telling.result()
            finally:
                telling.cancel()
                left.cancel()
                await asyncio.gather(telling, left, return_exceptions=True)

    async def _tell(self, changed: asyncio.Event, send: Send) -> None:
        job = self._job
        while job.state == "running" and not (self._streams and _has_begun(job)):
            await changed.wait()
            changed.clear()
        if job.error is not None:
            raise job.error
        if not self._streams:
            body = msgspec.json.encode(document_of(job))
            await self._send_start(JSON, send)
            await send({"type": "http.response.body", "body": body})
            return
        await self._send_start(NDJSON, send)
        async for line in _lines(job, changed):
            await self._send_in_time({"body": line, "more_body": True}, send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_in_time(self, message: dict[str, object], send: Send) -> None:
        try:
            async with asyncio.timeout(self._write_timeout_s):
                await send({"type": "http.response.body", **message})
        except TimeoutError as exc:
            raise ClientTooSlowError(
                f"the client has taken nothing for {self._write_timeout_s:g} s"
            ) from exc

    async def _send_start(self, media_type: str, send: Send) -> None:
        headers = {"Content-Type": media_type, **UNCACHED}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})


async def _lines(job: Job, changed: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield the state of a job whenever it has changed, as lines; those in between are left out."""
    while True:
        changed.clear()
        if job.error is not None:
            yield json_line(failure_of(job.error)) + b"\n"
            return
        yield json_line(document_of(job)) + b"\n"
        if job.state != "running":
            return
        await changed.wait()


def _has_begun(job: Job) -> bool:
    """Return whether it is known what is pulled."""
    return job.progress.status != "resolving"


async def _left(receive: Receive) -> None:
    """Return when the client has left; never where that cannot be seen.

    Some hosts hand out the body again and again without ever waiting.
    """
    for _ in range(_TRAILING_MESSAGES):
        message = await receive()
        while message.get("more_body", False):
            message = await receive()
        if message["type"] == "http.disconnect":
            return
    await asyncio.Event().wait()
