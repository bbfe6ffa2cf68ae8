# SPDX-License-Identifier: GPL-3.0-only
"""A real server on a real port, in the loop of the test, and a client made of plain sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn


@asynccontextmanager
async def serving(
    app: Any, lifespan: str = "off", http: type[asyncio.Protocol] | str = "httptools"
) -> AsyncIterator[int]:
    """Serve ``app`` on a free port of this machine; the port is what the block gets."""
    config = uvicorn.Config(
        app,
        http=http,  # type: ignore[arg-type]  # likewise
        lifespan=lifespan,  # type: ignore[arg-type]  # one of the words that uvicorn knows
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve([listener]))
    while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
        await asyncio.sleep(0.005)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listener.close()


class Caller:
    """One connection on which one request is sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def post(
        cls, port: int, path: str, body: dict[str, Any] | None = None, read_limit: int = 1 << 16
    ) -> Caller:
        """Connect and send a request with a JSON body, or without any."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=read_limit)
        content = b"" if body is None else json.dumps(body).encode()
        head = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(content)}"]
        if body is not None:
            head.append("Content-Type: application/json")
        writer.write("\r\n".join([*head, "", ""]).encode() + content)
        await writer.drain()
        return cls(reader, writer)

    async def until(self, text: bytes) -> bytes:
        """Return all that has come up to and with ``text``."""
        return await self.reader.readuntil(text)

    async def rest(self) -> bytes:
        """Return all that comes until the server closes the connection."""
        return await self.reader.read()

    async def hang_up(self) -> None:
        """Leave at once, as a killed client does."""
        self.writer.transport.abort()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)
