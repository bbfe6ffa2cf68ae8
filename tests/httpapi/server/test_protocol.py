# SPDX-License-Identifier: GPL-3.0-only
"""What the protocol lets through and what it refuses, shown over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from modeld.events import ConnectionRefused, Event
from modeld.httpapi.server.capacity import RESERVE
from modeld.httpapi.server.protocol import (
    MAX_AHEAD,
    MAX_AHEAD_BYTES,
    MAX_SMALL_PIECES,
    protocol_class,
)
from modeld.httpapi.server.request_head import MAX_TARGET_BYTES, RefusedError, check_head
from modeld.settings import Settings

PATIENCE_S = 20.0
"""How long a test waits for what must happen; only a failing test waits that long."""

HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
LAST_GET = GET + b"Connection: close\r\n\r\n"


class Rig:
    """An application that notes what reaches it, and the server that it runs under.

    ``/stream`` sends a line and then one for each ``release()``; ``/deaf`` answers without
    reading; ``/wait`` answers nothing before ``release()``; anything else tells what it was sent.
    """

    def __init__(self, settings: Settings) -> None:
        self.events: list[Event] = []
        self.targets: list[str] = []
        self.bodies: list[bytes] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []
        self.arrived = threading.Semaphore(0)
        self.left = threading.Semaphore(0)
        self.refused = threading.Semaphore(0)
        self.server = uvicorn.Server(
            uvicorn.Config(
                self.app,
                http=protocol_class(settings, notify=self.note),
                interface="asgi3",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            )
        )
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()))

    async def run(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.gate = asyncio.Semaphore(0)
        self.server.config.load()
        self.server.lifespan = self.server.config.lifespan_class(self.server.config)
        await self.server.startup(sockets=[self.listener])
        self.ready.set()
        await self.server.main_loop()
        await self.server.shutdown(sockets=[self.listener])

    def note(self, event: Event) -> None:
        self.events.append(event)
        self.refused.release()

    def release(self) -> None:
        self.loop.call_soon_threadsafe(self.gate.release)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.targets.append(scope["path"])
        self.headers.append(scope["headers"])
        self.arrived.release()
        match scope["path"]:
            case "/stream":
                await self.stream(receive, send)
            case "/deaf":
                await self.respond(send, b"not listening")
            case "/late":
                await self.gate.acquire()
                await self.echo(receive, send)
            case "/big":
                await self.respond(send, b"x" * (32 << 20))
            case "/wait":
                async with asyncio.TaskGroup() as group:
                    watch = group.create_task(self.watch(receive))
                    await self.gate.acquire()
                    await self.respond(send, b"waited")
                    watch.cancel()
            case "/flood":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                watch_flood = asyncio.ensure_future(self.watch(receive))
                while not watch_flood.done():
                    body = {"type": "http.response.body", "body": b"x" * 65536, "more_body": True}
                    await send(body)
            case _:
                await self.echo(receive, send)

    async def echo(self, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.release()
                return
            body += message["body"]
            more = message["more_body"]
        self.bodies.append(body)
        await self.respond(send, b"%d bytes" % len(body))

    async def watch(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.release()

    async def stream(self, receive: Any, send: Any) -> None:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self.watch(receive))
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for more in (True, True, False):
                await send({"type": "http.response.body", "body": b"line\n", "more_body": more})
                if more:
                    await self.gate.acquire()
            watch.cancel()

    async def respond(self, send: Any, body: bytes) -> None:
        length = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(**changes: Any) -> Iterator[Rig]:
    rig = Rig(Settings(**changes))
    rig.thread.start()
    assert rig.ready.wait(PATIENCE_S)
    try:
        yield rig
    finally:
        rig.server.should_exit = True
        rig.thread.join(PATIENCE_S)
        assert not rig.thread.is_alive()


@pytest.fixture(scope="module")
def small() -> Iterator[Rig]:
    """Yield a server with small limits on size and long ones on time."""
    with serving(max_header_bytes=4096, max_headers=20) as rig:
        yield rig


@pytest.fixture(scope="module")
def hasty() -> Iterator[Rig]:
    """Yield a server that waits for nobody."""
    with serving(head_timeout_s=0.3, body_timeout_s=0.3, write_timeout_s=0.3) as rig:
        yield rig


def read_all(sock: socket.socket) -> bytes:
    """Return everything up to the server's close."""
    response = b""
    while piece := sock.recv(65536):
        response += piece
    return response


def read_until(sock: socket.socket, end: bytes) -> bytes:
    response = b""
    while not response.endswith(end):
        piece = sock.recv(65536)
        assert piece, f"closed after {response!r}"
        response += piece
    return response


def ask(rig: Rig, request: bytes) -> bytes:
    with rig.connect() as sock:
        sock.sendall(request)
        return read_all(sock)


def assert_refused(response: bytes, status: int, reason: str) -> None:
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), response
    assert b"\r\ncontent-type: application/json" in head
    assert b"\r\nconnection: close" in head
    assert re.search(rb"\r\nx-request-id: [0-9a-f]{32}\r\n", head)
    assert b"\r\nx-content-type-options: nosniff" in head
    assert b"\r\nx-modeld-reason: " in head
    assert b"\r\ncache-control: no-store" in head
    assert b"\r\ncontent-length: %d" % len(body) in head
    content = json.loads(body)
    assert (content["code"], content["reason"]) == (status, reason)
    assert content["error"]


# Sizes


def test_a_request_within_all_limits_is_answered(small: Rig) -> None:
    response = ask(small, LAST_GET)
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert response.endswith(b"\r\n\r\n0 bytes")


def padded(size: int) -> bytes:
    """Return a whole head of exactly ``size`` bytes."""
    start, end = GET + b"Connection: close\r\nX-Pad: ", b"\r\n\r\n"
    return start + b"x" * (size - len(start) - len(end)) + end


def test_a_head_of_just_the_limit_is_taken(small: Rig) -> None:
    assert ask(small, padded(4096)).startswith(b"HTTP/1.1 200 ")


def test_a_head_of_one_byte_more_is_refused(small: Rig) -> None:
    assert_refused(ask(small, padded(4097)), 431, "header_too_large")


def test_a_head_that_comes_byte_by_byte_is_counted_as_a_whole(small: Rig) -> None:
    with small.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in padded(4097)[:4096]:
            sock.sendall(bytes([byte]))
        assert_refused(read_all(sock), 431, "header_too_large")


def test_a_head_is_refused_at_the_limit_and_not_at_its_end(small: Rig) -> None:
    assert_refused(ask(small, GET + b"X-Endless: " + b"x" * 4096), 431, "header_too_large")


def test_the_refusal_reaches_a_client_that_sends_a_header_of_8_mb(small: Rig) -> None:
    request = GET + b"X-Big: " + b"x" * (8 << 20) + b"\r\n\r\n"
    assert_refused(ask(small, request), 431, "header_too_large")


def test_a_long_target_is_refused_as_such() -> None:
    with serving() as rig:
        for size, status in ((MAX_TARGET_BYTES, b"200"), (MAX_TARGET_BYTES + 1, b"414")):
            target = b"/" + b"x" * (size - 1)
            response = ask(
                rig, b"GET %s HTTP/1.1\r\n" % target + HOST + b"Connection: close\r\n\r\n"
            )
            assert response.split(b" ", 2)[1] == status
        assert_refused(response, 414, "target_too_long")


def test_a_target_that_never_ends_is_refused_as_such() -> None:
    with serving() as rig:
        assert_refused(ask(rig, b"GET /" + b"x" * (32 << 10)), 414, "target_too_long")


def test_many_headers_are_refused(small: Rig) -> None:
    twenty = GET + b"Connection: close\r\n" + b"A: b\r\n" * 18
    assert ask(small, twenty + b"\r\n").startswith(b"HTTP/1.1 200 ")
    assert_refused(ask(small, twenty + b"A: b\r\n\r\n"), 431, "too_many_headers")


def test_empty_lines_before_a_request_count_as_its_head(small: Rig) -> None:
    assert ask(small, b"\r\n\r\n" + LAST_GET).startswith(b"HTTP/1.1 200 ")
    assert_refused(ask(small, b"\r\n" * 2048), 431, "header_too_large")


CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "after_head",
    [
        pytest.param(b"5;" + b"x" * 8192, id="chunk extension"),
        pytest.param(b"0\r\nX-Trailer: " + b"x" * 8192, id="one trailer"),
        pytest.param(b"0\r\n" + b"A: b\r\n" * 1400, id="many trailers"),
    ],
)
def test_what_surrounds_chunks_is_bounded_like_a_head(small: Rig, after_head: bytes) -> None:
    response = ask(small, CHUNKED + b"\r\n" + after_head)
    assert_refused(response, 431, "header_too_large")
    assert small.left.acquire(timeout=PATIENCE_S)


def test_a_body_in_very_many_tiny_chunks_is_refused(small: Rig) -> None:
    def chunks(count: int) -> bytes:
        return CHUNKED + b"Connection: close\r\n\r\n" + b"1\r\nx\r\n" * count + b"0\r\n\r\n"

    assert ask(small, chunks(MAX_SMALL_PIECES)).startswith(b"HTTP/1.1 200 ")
    assert small.bodies[-1] == b"x" * MAX_SMALL_PIECES
    response = ask(small, chunks(MAX_SMALL_PIECES + 1))
    assert_refused(response, 400, "invalid_request")
    assert b"send larger chunks" in response
    assert small.left.acquire(timeout=PATIENCE_S)


def test_a_trailer_never_becomes_a_header_of_the_request(small: Rig) -> None:
    ask(small, CHUNKED + b"Connection: close\r\n\r\n1\r\nx\r\n0\r\nAuthorization: me\r\n\r\n")
    assert [name for name, _ in small.headers[-1]] == [b"host", b"transfer-encoding", b"connection"]


# One meaning for every request


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(GET + HOST + b"\r\n", id="two equal hosts"),
        pytest.param(GET + b"Host: other\r\n\r\n", id="two hosts"),
        pytest.param(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", id="two hosts in 1.0"),
        *(
            pytest.param(b"GET / HTTP/1.1\r\nHost:%s\r\n\r\n" % host, id=f"host {host!r}")
            for host in (
                *(b"", b" ", b"x y", b"a@b", b"x/?a=", b"x#", b"[::1", b"::1", b"a:b", b"a:"),
                *(b"a:123456", b"a,b", b"a\tb", b"\xc3\xa4", b"a%0d", b"http://a", b"<a>"),
            )
        ),
        pytest.param(b"GET @evil HTTP/1.1\r\n" + HOST + b"\r\n", id="target @evil"),
        pytest.param(b"GET evil HTTP/1.1\r\n" + HOST + b"\r\n", id="target without slash"),
        pytest.param(
            b"GET http://localhost HTTP/1.1\r\n" + HOST + b"\r\n", id="target without path"
        ),
        *(
            pytest.param(b"%s HTTP/1.1\r\n" % line + HOST + b"\r\n", id=f"{line!r}")
            for line in (
                *(b"GET http://evil/", b"GET http://localhost:8080/", b"GET http://localhost./"),
                *(b"GET http://me@localhost/", b"GET http://localhost@evil/"),
                *(b"GET http://localhost?/", b"GET http://localhost#/", b"GET http:///"),
                *(b"GET http://evil\\localhost/", b"GET ftp://localhost/", b"GET https:/x"),
                *(b"GET http://localhost:0x50/", b"GET http://[::1/", b"GET http://localhost/x#y"),
                *(b"GET localhost:80", b"GET /x#y", b"GET *", b"OPTIONS *", b"GET ?x", b"GET #"),
            )
        ),
        pytest.param(b"GET http://evil/ HTTP/1.0\r\n" + HOST + b"\r\n", id="two hosts in 1.0 URL"),
        pytest.param(GET + b"Content-Length : 0\r\n\r\n", id="space after Content-Length"),
        pytest.param(GET + b"A b: c\r\n\r\n", id="space in header name"),
        pytest.param(b"GET /\xe4 HTTP/1.1\r\n" + HOST + b"\r\n", id="target not ASCII"),
        pytest.param(b"CONNECT a:80 HTTP/1.1\r\n" + HOST + b"\r\n", id="CONNECT"),
        pytest.param(b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", id="HTTP/2.0"),
        pytest.param(b"GET / HTTP/0.9\r\n\r\n", id="HTTP/0.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2 preface"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01", id="TLS hello"),
        pytest.param(GET + b"A : b\r\n\r\n", id="space before colon"),
        pytest.param(GET + b"A: b\r\n c\r\n\r\n", id="folded header"),
        pytest.param(GET + b"A: b\x00c\r\n\r\n", id="NUL in header"),
        pytest.param(GET + b"A: b\rc: d\r\n\r\n", id="bare CR in header"),
        pytest.param(b"GET / HTTP/1.1\nHost: localhost\n\n", id="bare LF"),
        pytest.param(GET + b": b\r\n\r\n", id="empty header name"),
        pytest.param(GET + b"\x0bHost: b\r\n\r\n", id="control character in name"),
    ],
)
def test_a_malformed_head_is_refused(small: Rig, request_bytes: bytes) -> None:
    before = len(small.targets)
    assert_refused(ask(small, request_bytes), 400, "invalid_request")
    assert len(small.targets) == before


@pytest.mark.parametrize(
    "host",
    [
        *(
            b"localhost",
            b"LOCALHOST:8080",
            b"127.0.0.1:1",
            b"[::1]",
            b"[::1]:8080",
            b"a.b-c.",
            b"a_b",
        ),
    ],
)
def test_an_ordinary_host_is_taken(small: Rig, host: bytes) -> None:
    response = ask(small, b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host)
    assert response.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (b"http://localhost/x?y=1", b"localhost"),
        (b"HTTP://LOCALHOST:80/x?y=1", b"localhost"),
        (b"https://localhost/x?y=1", b"localhost:443"),
        (b"http://[::1]:8080/x?y=1", b"[::1]:8080"),
    ],
)
def test_a_whole_url_of_the_same_host_is_taken_for_its_path(
    small: Rig, url: bytes, host: bytes
) -> None:
    request = b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % (url, host)
    assert ask(small, request).startswith(b"HTTP/1.1 200 ")
    assert small.targets[-1] == "/x"


def test_http_1_0_needs_no_host(small: Rig) -> None:
    assert ask(small, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"


def framed(*fields: bytes, body: bytes = b"0\r\n\r\n", version: bytes = b"1.1") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"POST / HTTP/%s\r\n" % version + HOST + lines + b"\r\n" + body + SMUGGLED


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(framed(b"Content-Length: 5", b"Transfer-Encoding: chunked"), id="CL and TE"),
        pytest.param(framed(b"Transfer-Encoding: chunked", b"Content-Length: 5"), id="TE and CL"),
        pytest.param(framed(b"Transfer-Encoding: identity", b"Content-Length: 5"), id="identity"),
        pytest.param(framed(b"Transfer-Encoding: gzip, chunked"), id="TE gzip, chunked"),
        pytest.param(framed(b"Transfer-Encoding: chunked, identity"), id="TE not chunked last"),
        pytest.param(framed(b"Transfer-Encoding: xchunked"), id="TE xchunked"),
        pytest.param(framed(b"Transfer-Encoding: \x0bchunked"), id="TE with control character"),
        pytest.param(framed(b'Transfer-Encoding: "chunked"'), id="TE quoted"),
        *(
            pytest.param(
                framed(*(b"Transfer-Encoding:" + value for value in values)),
                id=f"TE {b' then '.join(values)!r}",
            )
            for values in (
                *((b" chunked", b" chunked"), (b" gzip", b" chunked"), (b" identity", b" chunked")),
                *((b" chunked", b" gzip"), (b" chunked", b""), (b"", b" chunked"), (b"",)),
                *((b" chunked,",), (b" ,chunked",), (b" chunked, chunked",), (b" chunked;q=1",)),
                *((b" chunked\t",), (b" Chunked", b" chunked"), (b" chu\tnked",)),
            )
        ),
        pytest.param(framed(b"Transfer-Encoding: chunked", version=b"1.0"), id="TE in 1.0"),
        pytest.param(framed(b"Transfer-Encoding : chunked"), id="TE with space"),
        pytest.param(framed(b"Content-Length: 5", b"Content-Length: 6"), id="two lengths"),
        pytest.param(framed(b"Content-Length: 5", b"Content-Length: 5"), id="same length twice"),
        pytest.param(framed(b"Content-Length: 5, 5"), id="list of lengths"),
        pytest.param(framed(b"Content-Length: +5"), id="signed length"),
        pytest.param(framed(b"Content-Length: -5"), id="negative length"),
        pytest.param(framed(b"Content-Length: 0x5"), id="hexadecimal length"),
        pytest.param(framed(b"Content-Length: 5 5"), id="length with space"),
        pytest.param(framed(b"Content-Length: 99999999999999999999"), id="length over 64 bits"),
    ],
)
def test_a_body_of_doubtful_length_is_refused(small: Rig, request_bytes: bytes) -> None:
    response = ask(small, request_bytes)
    assert_refused(response, 400, "invalid_request")
    assert "/smuggled" not in small.targets


@pytest.mark.parametrize(
    "body",
    [
        *(b"x\r\n", b"-1\r\nx\r\n", b"0x1\r\nx\r\n", b"1 \r\nx\r\n", b"1\nx\n", b"1\r\nxy\r\n"),
        *(
            b"ffffffffffffffff1\r\n",
            b"1;a\nb\r\nx\r\n",
            b"1\r\nx\r\n0\r\nA : b\r\n\r\n",
            b"+1\r\nx\r\n",
        ),
    ],
)
def test_a_malformed_chunk_is_refused_and_the_application_told(small: Rig, body: bytes) -> None:
    response = ask(small, CHUNKED + b"\r\n" + body + b"\r\n\r\n" + SMUGGLED)
    assert_refused(response, 400, "invalid_request")
    assert "/smuggled" not in small.targets
    assert small.left.acquire(timeout=PATIENCE_S)


def test_a_body_survives_an_upgrade_that_is_not_taken(small: Rig) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    first = b"POST /h2c HTTP/1.1\r\n" + HOST + upgrade
    response = ask(small, first + b"Content-Length: 5\r\n\r\nhello" + LAST_GET)
    assert response.count(b"HTTP/1.1 200 OK") == 2
    assert small.bodies[-2:] == [b"hello", b""]
    with small.connect() as sock:
        sock.sendall(first + b"Transfer-Encoding: chunked\r\n\r\n")
        sock.sendall(b"5\r\nhello\r\n0\r\n\r\n")
        read_until(sock, b"5 bytes")
    assert small.bodies[-1] == b"hello"


def test_a_head_with_an_upgrade_is_checked_like_any_other(small: Rig) -> None:
    request = b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert_refused(ask(small, request), 400, "invalid_request")


def test_the_check_of_a_head_needs_no_connection() -> None:
    check_head("1.1", b"/", [(b"host", b"a")], Settings())
    with pytest.raises(RefusedError, match="no Host header") as caught:
        check_head("1.1", b"/", [], Settings())
    assert caught.value.status == 400


# Requests sent ahead


def test_pipelined_requests_are_answered_in_order(small: Rig) -> None:
    post = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n%s"
    sent = [b"x" * size for size in (1, 3000, 2, 5000, 3)]
    response = ask(small, b"".join(post % (len(body), body) for body in sent) + LAST_GET)
    sizes = [part.split(b" bytes")[0] for part in response.split(b"\r\n\r\n")[1:]]
    assert sizes == [b"1", b"3000", b"2", b"5000", b"3", b"0"]


def test_what_is_sent_during_a_response_waits_for_its_end(small: Rig) -> None:
    with small.connect() as sock:
        sock.sendall(b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n")
        read_until(sock, b"line\n\r\n")
        sock.sendall(b"POST / HTTP/1.1\r\n" + HOST)
        sock.sendall(b"Content-Length: 500000\r\nConnection: close\r\n\r\n")
        more = threading.Thread(target=sock.sendall, args=[b"x" * 500000])
        more.start()
        small.release()
        read_until(sock, b"line\n\r\n")
        small.release()
        rest = read_all(sock)
        more.join()
    assert rest.startswith(b"5\r\nline\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert rest.endswith(b"500000 bytes")


def test_an_error_is_never_written_into_an_earlier_response(small: Rig) -> None:
    with small.connect() as sock:
        sock.sendall(b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n" + b"GET @evil HTTP/1.1\r\n\r\n")
        read_until(sock, b"line\n\r\n")
        small.release()
        small.release()
        rest = read_all(sock)
    assert rest.count(b"line\n") == 2
    assert_refused(rest.partition(b"0\r\n\r\n")[2], 400, "invalid_request")


def test_a_broken_body_sent_ahead_leaves_the_response_before_it_whole(small: Rig) -> None:
    before = len(small.targets)
    with small.connect() as sock:
        sock.sendall(b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n" + CHUNKED + b"\r\nnonsense")
        read_until(sock, b"line\n\r\n")
        small.release()
        small.release()
        rest = read_all(sock)
    assert_refused(rest.partition(b"0\r\n\r\n")[2], 400, "invalid_request")
    assert small.targets[before:] == ["/stream"]


def test_a_client_that_has_sent_ahead_and_leaves_is_noticed(small: Rig) -> None:
    for later in (b"", LAST_GET):
        with small.connect() as sock:
            sock.sendall(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n" + GET + b"\r\n")
            assert small.arrived.acquire(timeout=PATIENCE_S)
            sock.sendall(later)
        assert small.left.acquire(timeout=PATIENCE_S)
        small.release()


def wait_for_the_first(rig: Rig, sock: socket.socket, ahead: int) -> None:
    """Send a request that waits for its response, and so many bytes more."""
    sock.sendall(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
    assert rig.arrived.acquire(timeout=PATIENCE_S)
    head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % ahead
    sock.sendall(head + b"x" * ahead)


@pytest.mark.parametrize("ahead", [0, 70_000, 500_000, 4 * MAX_AHEAD_BYTES])
def test_however_much_a_client_has_sent_ahead_it_is_noticed_when_it_leaves(ahead: int) -> None:
    with serving() as rig:
        took_s = []
        for leave in (socket.socket.close, half_close, reset):
            with rig.connect() as sock:
                wait_for_the_first(rig, sock, ahead)
                begun_s = time.monotonic()
                leave(sock)
                assert rig.left.acquire(timeout=PATIENCE_S)
                took_s.append(time.monotonic() - begun_s)
                rig.release()
        assert min(took_s) < 0.1


def half_close(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_who_sends_too_much_ahead_gets_the_responses_it_is_owed_and_an_error() -> None:
    with serving() as rig, rig.connect() as sock:
        sock.sendall(b"GET /wait HTTP/1.1\r\n" + HOST + b"\r\n")
        assert rig.arrived.acquire(timeout=PATIENCE_S)
        sock.sendall(b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * (2 * MAX_AHEAD_BYTES))
        assert rig.refused.acquire(timeout=PATIENCE_S)
        rig.release()
        first, _, rest = read_all(sock).partition(b"waited")
        assert first.startswith(b"HTTP/1.1 200 ")
        assert_refused(rest, 400, "invalid_request")
        assert rig.targets == ["/wait"]


def test_only_so_many_requests_may_be_sent_ahead(small: Rig) -> None:
    request = GET + b"\r\n"
    response = ask(small, request * (MAX_AHEAD + 2))
    assert response.count(b"HTTP/1.1 200 OK") == MAX_AHEAD + 1
    assert response.count(b"HTTP/1.1 400 ") == 1
    assert ask(small, request * MAX_AHEAD + LAST_GET).count(b"HTTP/1.1 200 OK") == MAX_AHEAD + 1


# Times


def test_a_connection_that_sends_nothing_is_closed_without_a_word(hasty: Rig) -> None:
    assert ask(hasty, b"") == b""


def test_a_head_that_does_not_end_is_refused_in_time(hasty: Rig) -> None:
    assert_refused(ask(hasty, GET), 408, "request_too_slow")


def test_a_head_that_trickles_gets_no_more_time(hasty: Rig) -> None:
    begun = time.monotonic()
    with hasty.connect() as sock:
        sock.settimeout(0.05)
        sock.sendall(GET)
        response = b""
        while not response:
            try:
                sock.sendall(b"A: b\r\n")
                response = sock.recv(65536)
            except TimeoutError:
                assert time.monotonic() - begun < PATIENCE_S
    assert_refused(response, 408, "request_too_slow")


def test_a_second_head_that_does_not_end_is_refused_in_time(hasty: Rig) -> None:
    with hasty.connect() as sock:
        sock.sendall(GET + b"\r\n")
        read_until(sock, b"0 bytes")
        sock.sendall(GET)
        assert_refused(read_all(sock), 408, "request_too_slow")


def test_empty_lines_after_a_request_do_not_hold_the_connection(hasty: Rig) -> None:
    with hasty.connect() as sock:
        sock.sendall(GET + b"\r\n")
        read_until(sock, b"0 bytes")
        sock.sendall(b"\r\n")
        assert_refused(read_all(sock), 408, "request_too_slow")


@pytest.mark.parametrize("head", [CHUNKED, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n" + HOST])
def test_a_body_that_does_not_end_is_refused_and_the_application_told(
    hasty: Rig, head: bytes
) -> None:
    assert_refused(ask(hasty, head + b"\r\n1\r\n"), 408, "request_too_slow")
    assert hasty.left.acquire(timeout=PATIENCE_S)


def test_a_client_is_not_to_blame_when_the_application_reads_late(hasty: Rig) -> None:
    with hasty.connect() as sock:
        sock.sendall(b"POST /late HTTP/1.1\r\n" + HOST + b"Connection: close\r\n")
        sock.sendall(b"Content-Length: 200000\r\n\r\n" + b"x" * 100000)
        assert ask(hasty, CHUNKED + b"\r\n").startswith(b"HTTP/1.1 408 ")  # asked for later
        assert hasty.left.acquire(timeout=PATIENCE_S)
        hasty.release()
        sock.sendall(b"x" * 100000)
        assert read_all(sock).endswith(b"200000 bytes")


def test_a_body_that_nobody_reads_does_not_hold_the_connection(hasty: Rig) -> None:
    head = b"POST /deaf HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nx"
    response = ask(hasty, head)
    assert response.endswith(b"not listening")
    assert response.count(b"HTTP/1.1") == 1


def test_a_response_that_has_begun_is_cut_when_the_body_stays_out(hasty: Rig) -> None:
    response = ask(hasty, b"POST /stream HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\nx")
    assert response.endswith(b"5\r\nline\n\r\n")
    assert hasty.left.acquire(timeout=PATIENCE_S)
    hasty.release()
    hasty.release()


def test_a_stream_outlives_all_deadlines(hasty: Rig) -> None:
    with hasty.connect() as sock:
        sock.sendall(b"POST /stream HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nok")
        read_until(sock, b"line\n\r\n")
        assert ask(hasty, GET).startswith(b"HTTP/1.1 408 ")  # a later one has run out of time
        hasty.release()
        read_until(sock, b"line\n\r\n")
        assert ask(hasty, GET).startswith(b"HTTP/1.1 408 ")
        hasty.release()
        read_until(sock, b"line\n\r\n0\r\n\r\n")


def test_a_head_sent_ahead_has_its_time_from_the_end_of_the_response(hasty: Rig) -> None:
    with hasty.connect() as sock:
        sock.sendall(b"GET /stream HTTP/1.1\r\n" + HOST + b"\r\n" + GET)
        read_until(sock, b"line\n\r\n")
        assert ask(hasty, b"") == b""
        sock.sendall(b"Connection: close\r\n\r\n")
        hasty.release()
        hasty.release()
        assert read_all(sock).endswith(b"0 bytes")


def wait_for_reset(sock: socket.socket) -> None:
    """Return when the server has dropped the connection; what it sent before stays unread."""
    poll = select.poll()
    poll.register(sock, 0)  # errors and hang-ups are always reported
    assert poll.poll(PATIENCE_S * 1000)


def test_a_client_that_takes_nothing_of_its_response_is_dropped(hasty: Rig) -> None:
    with hasty.connect() as sock:
        sock.sendall(b"GET /flood HTTP/1.1\r\n" + HOST + b"\r\n")
        assert hasty.left.acquire(timeout=PATIENCE_S)
        wait_for_reset(sock)


def test_the_end_of_a_response_that_nobody_takes_does_not_hold_the_connection(hasty: Rig) -> None:
    with hasty.connect() as sock:
        sock.sendall(b"GET /big HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        wait_for_reset(sock)


# Numbers of connections


def test_a_connection_over_the_limit_is_told_so() -> None:
    with serving(max_connections=2) as rig, rig.connect() as one, rig.connect() as two:
        for sock in (one, two):
            sock.sendall(GET + b"\r\n")
            read_until(sock, b"0 bytes")
        before = len(rig.targets)
        assert_refused(ask(rig, LAST_GET), 503, "too_many_connections")
        assert len(rig.targets) == before
        one.sendall(LAST_GET)
        assert read_all(one).endswith(b"0 bytes")
        two.sendall(LAST_GET)
        assert read_all(two).endswith(b"0 bytes")


@pytest.mark.parametrize("target", [b"/healthz", b"/readyz?model=a", b"/metrics", b"/healthz?"])
def test_a_probe_is_answered_on_a_connection_over_the_limit(target: bytes) -> None:
    probe = b"GET %s HTTP/1.1\r\n" % target + HOST + b"\r\n"
    with serving(max_connections=1) as rig, rig.connect() as held:
        for _ in range(3):
            response = ask(rig, probe + GET + b"\r\n")
            assert response.startswith(b"HTTP/1.1 200 ")
            assert b"\r\nconnection: close\r\n" in response
            assert response.count(b"HTTP/1.1") == 1
        assert rig.targets == [target.partition(b"?")[0].decode()] * 3
        held.sendall(LAST_GET)
        assert read_all(held).endswith(b"0 bytes")


@pytest.mark.parametrize(
    "target", [b"/", b"/healthz/", b"//healthz", b"/healthz%00", b"/x?/healthz", b"/infer"]
)
def test_nothing_else_is_answered_on_a_connection_over_the_limit(target: bytes) -> None:
    with serving(max_connections=1) as rig, rig.connect():
        response = ask(rig, b"GET %s HTTP/1.1\r\n" % target + HOST + b"\r\n")
        assert_refused(response, 503, "too_many_connections")
        assert b"\r\nretry-after: 1\r\n" in response
        assert rig.targets == []


def test_a_connection_over_the_limit_that_says_nothing_is_told_so() -> None:
    with serving(max_connections=1) as rig, rig.connect():
        assert_refused(ask(rig, b""), 503, "too_many_connections")
        assert_refused(ask(rig, b"GET /healthz HTTP/1.1\r\n"), 503, "too_many_connections")


def test_a_flood_that_says_nothing_keeps_no_probe_out() -> None:
    with serving(max_connections=1) as rig:
        crowd = [rig.connect() for _ in range(1 + 3 * RESERVE)]
        probe = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
        assert ask(rig, probe).startswith(b"HTTP/1.1 200 ")
        assert all(map(closes_without_a_word, crowd[1 : RESERVE + 1]))
        for sock in crowd:
            sock.close()
        assert ask_again(rig, lambda response: response.startswith(b"HTTP/1.1 200 "))


def closes_without_a_word(sock: socket.socket) -> bool:
    try:
        return sock.recv(65536) == b""
    except ConnectionResetError:
        return True


def test_a_connection_that_ends_leaves_room_for_another() -> None:
    with serving(max_connections=1) as rig:
        for _ in range(5):
            assert ask_again(rig, lambda response: response.startswith(b"HTTP/1.1 200 "))


def ask_again(rig: Rig, accept: Callable[[bytes], bool]) -> bool:
    """Ask until the server has noticed that the connection before is gone."""
    begun = time.monotonic()
    while not accept(ask(rig, LAST_GET)):
        assert time.monotonic() - begun < PATIENCE_S
    return True


# What is told of those that were refused


def test_each_refusal_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    refusals = [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "invalid_request"),
        (b"nonsense\r\n\r\n", 400, "invalid_request"),
        (GET, 408, "request_too_slow"),
        (b"GET /" + b"x" * (32 << 10), 414, "target_too_long"),
        (GET + b"A: " + b"x" * (32 << 10), 431, "header_too_large"),
        (GET + b"A: b\r\n" * 100 + b"\r\n", 431, "too_many_headers"),
    ]
    caplog.set_level(logging.INFO, "modeld.access")
    with serving(head_timeout_s=0.3) as rig:
        for request, status, reason in refusals:
            assert_refused(ask(rig, request), status, reason)
        told = [(status, reason) for _, status, reason in refusals]
        assert rig.events == [ConnectionRefused(status=s, reason=r) for s, r in told]
    lines = [record.getMessage() for record in caplog.records if record.name == "modeld.access"]
    assert [line.split(":")[0] for line in lines] == [f"refused {s} {r}" for s, r in told]
    assert all(re.search(r" client=127\.0\.0\.1 id=[0-9a-f]{32}$", line) for line in lines)


def test_who_is_closed_without_a_word_is_told_of_too() -> None:
    with serving(max_connections=1) as rig:
        crowd = [rig.connect() for _ in range(1 + RESERVE)]
        for sock in crowd[1:]:
            read_all(sock)
        more = [rig.connect() for _ in range(RESERVE + 10)]
        for _ in range(2 * RESERVE + 10):
            assert rig.refused.acquire(timeout=PATIENCE_S)
        assert {type(event) for event in rig.events} == {ConnectionRefused}
        for sock in (*crowd, *more):
            sock.close()
