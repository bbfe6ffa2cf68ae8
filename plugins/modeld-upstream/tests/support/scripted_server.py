# SPDX-License-Identifier: GPL-3.0-only
"""A server with OpenAI's API over real sockets, of which the test decides every byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

DONE = b"data: [DONE]\n\n"
SOME_MODEL = {"id": "some-model", "max_model_len": 512, "capabilities": {"vision": False}}


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Connection:
    """The response to one request. Each method writes what it says and nothing else."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.left = asyncio.Event()
        """Set once the client has closed the connection."""

    async def whole(self, status: int, body: object = b"", **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        await self.raw(_head(status, fields | given) + content)

    async def begin(self, content_type: str = "text/event-stream") -> None:
        await self.raw(_head(200, {"Content-Type": content_type, "Transfer-Encoding": "chunked"}))

    async def send(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def event(self, document: object) -> None:
        await self.send(b"data: " + json.dumps(document).encode() + b"\n\n")

    async def end(self) -> None:
        await self.send(DONE)
        await self.finish()

    async def finish(self) -> None:
        await self.raw(b"0\r\n\r\n")

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def cut(self) -> None:
        """Break off at once, as a server does that is killed."""
        self._writer.transport.abort()

    def close(self) -> None:
        """Close the connection after what was sent."""
        self._writer.close()


Respond = Callable[[Asked, Connection], Awaitable[None]]


@dataclass
class Scripted:
    """The server: its address, and what it was asked."""

    port: int
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def posted(self) -> list[Asked]:
        return [each for each in self.asked if each.method == "POST"]


@asynccontextmanager
async def scripted(respond: Respond) -> AsyncIterator[Scripted]:
    """Serve with ``respond`` what is posted. It is well and lists a model."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        served.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while not writer.is_closing():
                    await _serve_one(served, respond, reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    served = Scripted(server.sockets[0].getsockname()[1])
    try:
        yield served
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _serve_one(
    served: Scripted, respond: Respond, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    asked = Asked(method, path, headers, json.loads(content) if content else None)
    served.asked.append(asked)
    connection = Connection(writer)
    if method == "GET":
        is_there = path in {"/v1/models", "/health", "/healthz"}
        await connection.whole(200 if is_there else 404, {"data": [SOME_MODEL]})
        return
    watch = asyncio.create_task(_watch(reader, connection.left))
    try:
        await respond(asked, connection)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def _watch(reader: asyncio.StreamReader, left: asyncio.Event) -> None:
    """Note that the client leaves. It sends nothing while it waits for a response."""
    while not reader.at_eof():  # noqa: ASYNC110  (to read would take what comes next)
        await asyncio.sleep(0.005)
    left.set()


def _head(status: int, headers: dict[str, str]) -> bytes:
    fields = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status} Scripted", *fields, "", ""]).encode()


def delta(**members: object) -> dict[str, object]:
    """Return a chunk of a chat."""
    return {"choices": [{"index": 0, "delta": members, "finish_reason": None}]}


def ended(reason: str = "stop") -> dict[str, object]:
    """Return the chunk that says why a generation is over."""
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}


async def hello(_asked: Asked, connection: Connection) -> None:
    """Respond as a well-behaved server does."""
    await connection.begin()
    await connection.event(delta(role="assistant", content=""))
    await connection.event(delta(content="Hello"))
    await connection.event(delta(content=" there"))
    await connection.event(ended())
    await connection.event(USAGE)
    await connection.end()
