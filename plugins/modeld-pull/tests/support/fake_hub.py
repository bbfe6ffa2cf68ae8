# SPDX-License-Identifier: GPL-3.0-only
"""A hub over real sockets, with a CDN at another port, of which the test decides every fault."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Fault = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]

REPO = "someone/Tiny-GGUF"
MODEL = "tiny-Q4_K_M.gguf"
GGUF = b"GGUF" + bytes(range(256)) * 1200
"""About 300 KiB that begin as a model does."""


@dataclass
class Asked:
    """A request as it came; ``at`` is the port."""

    at: int
    path: str
    headers: Mapping[str, str]


@dataclass
class FakeHub:
    """What the hub has: a repository's files. Each of its faults is for one request."""

    files: dict[str, bytes] = field(default_factory=lambda: {MODEL: GGUF})
    asked: list[Asked] = field(default_factory=list)
    api_faults: list[Fault] = field(default_factory=list)
    resolve_faults: list[Fault] = field(default_factory=list)
    cdn_faults: list[Fault] = field(default_factory=list)
    lies: dict[str, Any] = field(default_factory=dict)
    small: set[str] = field(default_factory=set)
    ports: list[int] = field(default_factory=list)
    page: int = 1000
    location: Callable[[str], str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def cdn(self) -> str:
        return f"http://127.0.0.1:{self.ports[1]}"

    def asked_of(self, beginning: str) -> list[Asked]:
        return [each for each in self.asked if each.path.startswith(beginning)]

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._note])
        app.router.add_get("/api/models/{repo:[^/]+/[^/]+}/tree/{rev}", self._tree)
        app.router.add_get("/{repo:[^/]+/[^/]+}/resolve/{rev}/{path:.+}", self._resolve)
        app.router.add_get("/cdn/{path:.+}", self._cdn)
        return app

    @web.middleware
    async def _note(self, request: web.Request, handler: Any) -> web.StreamResponse:
        port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
        self.asked.append(Asked(port, request.path, dict(request.headers)))
        response: web.StreamResponse = await handler(request)
        return response

    async def _tree(self, request: web.Request) -> web.StreamResponse:
        if self.api_faults:
            return await self.api_faults.pop(0)(request, b"")
        if request.match_info["repo"] != REPO:
            return web.json_response({}, status=404, headers={"X-Error-Code": "RepoNotFound"})
        start = int(request.query.get("cursor", "0"))
        rows = [self._row(path) for path in sorted(self.files)]
        rows.append({"type": "directory", "path": "folder", "oid": "0" * 40, "size": 0})
        headers = {}
        if start + self.page < len(rows):
            following = f"{self.url}{request.path}?recursive=1&cursor={start + self.page}"
            headers["Link"] = f'<{following}>; rel="next"'
        return web.json_response(rows[start : start + self.page], headers=headers)

    def _row(self, path: str) -> dict[str, Any]:
        content = self.files[path]
        row: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "xetHash": "0"}
        if path in self.small:
            blob = b"blob %d\0" % len(content) + content
            return row | {"oid": hashlib.sha1(blob).hexdigest()}
        digest = hashlib.sha256(content).hexdigest()
        lfs = {"oid": digest, "size": len(content), "pointerSize": 134}
        return row | {"oid": "1" * 40, "lfs": lfs | self.lies}

    async def _resolve(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        content = self.files.get(path)
        if self.resolve_faults:
            return await self.resolve_faults.pop(0)(request, content or b"")
        if content is None:
            return web.Response(status=404, headers={"X-Error-Code": "EntryNotFound"})
        location = f"{self.cdn}/cdn/{path}?signature=secret"
        headers = {
            "Location": self.location(path) if self.location else location,
            "X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Linked-Size": str(len(content)),
            "X-Repo-Commit": "2" * 40,
        }
        return web.Response(status=302, headers=headers)

    async def _cdn(self, request: web.Request) -> web.StreamResponse:
        content = self.files[request.match_info["path"]]
        if self.cdn_faults:
            return await self.cdn_faults.pop(0)(request, content)
        return sliced(request, content)


def etag_of(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


def sliced(request: web.Request, content: bytes) -> web.Response:
    """Respond as a CDN does: the whole, or what is asked of it if it is still the same."""
    etag = etag_of(content)
    found = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    if found is None or request.headers.get("If-Range", etag) != etag:
        return web.Response(body=content, headers={"ETag": etag})
    start = int(found[1])
    if start >= len(content):
        return web.Response(status=416, headers={"Content-Range": f"bytes */{len(content)}"})
    said = f"bytes {start}-{len(content) - 1}/{len(content)}"
    headers = {"ETag": etag, "Content-Range": said}
    return web.Response(status=206, body=content[start:], headers=headers)


def cut_after(size: int) -> Fault:
    """Break off after so many bytes of what was asked."""

    async def fault(request: web.Request, content: bytes) -> web.StreamResponse:
        whole = sliced(request, content)
        assert isinstance(whole.body, bytes)
        response = web.StreamResponse(status=whole.status, headers=whole.headers)
        response.content_length = len(whole.body)
        await response.prepare(request)
        await response.write(whole.body[:size])
        assert request.transport is not None
        request.transport.close()
        return response

    return fault


def silent_after(size: int, released: asyncio.Event, reached: asyncio.Event | None = None) -> Fault:
    """Send so many bytes and nothing more until the event is set."""

    async def fault(request: web.Request, content: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"ETag": etag_of(content)})
        response.content_length = len(content)
        await response.prepare(request)
        await response.write(content[:size])
        if reached is not None:
            reached.set()
        await released.wait()
        await response.write(content[size:])
        return response

    return fault


def status(code: int, **headers: str) -> Fault:
    """Respond with a status and headers, of which ``_`` is ``-``."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}

    async def fault(request: web.Request, content: bytes) -> web.StreamResponse:
        return web.Response(status=code, headers=fields)

    return fault


def instead(body: bytes, **headers: str) -> Fault:
    """Respond with other bytes."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}

    async def fault(request: web.Request, content: bytes) -> web.StreamResponse:
        return web.Response(body=body, headers=fields)

    return fault


def redirect(location: bytes) -> Fault:
    """Redirect to these bytes, which no server that is sound would send."""

    async def fault(request: web.Request, content: bytes) -> web.StreamResponse:
        head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location
        assert request.transport is not None
        request.transport.write(head + b"\r\n\r\n")
        request.transport.close()
        return web.Response()

    return fault


@asynccontextmanager
async def fake_hub(**members: Any) -> AsyncIterator[FakeHub]:
    """Serve a hub on this event loop."""
    hub = FakeHub(**members)
    runner = web.AppRunner(hub.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        for _ in range(2):
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        hub.ports = [address[1] for address in runner.addresses]
        yield hub
    finally:
        await runner.cleanup()


@contextmanager
def hub_on_a_thread(**members: Any) -> Iterator[FakeHub]:
    """Serve a hub beside a test that has no event loop."""
    loop = asyncio.new_event_loop()
    started = threading.Event()
    found: list[FakeHub] = []
    ended = asyncio.Event()

    async def serve() -> None:
        async with fake_hub(**members) as hub:
            found.append(hub)
            started.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(10)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
