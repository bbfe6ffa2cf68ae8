# SPDX-License-Identifier: GPL-3.0-only
"""Pieces that go to the connection without a task, alone and in a whole server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modeld.dialects import StreamEncoder
from modeld.errors import InternalError, ModeldError
from modeld.httpapi.exchange.exchange import DirectWrite
from modeld.httpapi.exchange.writing.contained_encoder import ContainedStream
from modeld.httpapi.exchange.writing.pieces import PIECE_BYTES, Pieces
from modeld.httpapi.server.connection import CycleWrite
from modeld.httpapi.server.protocol import protocol_class
from modeld.requests import GenerateRequest
from modeld.responses import Chunk, Done, Piece, TakePiece, Token
from modeld.settings import Settings
from tests.support.http.fake_service import DONE, FakeService, make_app
from tests.support.http.live_server import Caller, serving

A, B, C, D = (Token(text=text) for text in "abcd")


class Letters(StreamEncoder):
    """Writes each text with the number of pieces it has seen."""

    media_type = "text/plain"

    def __init__(self) -> None:
        self.seen = 0

    def piece(self, index: int, piece: Piece) -> bytes:
        self.seen += 1
        assert isinstance(piece, Token)
        if piece.text == "broken":
            raise ValueError("cannot write this")
        if piece.text == "no bytes":
            return 7  # type: ignore[return-value]  # that is the fault
        return b"" if piece.text == "silent" else f"{piece.text}{self.seen} ".encode()

    def done(self, index: int, done: Done) -> bytes:
        return b"end"

    def failure(self, error: ModeldError, status: int) -> bytes:
        return b"failed"


class Tap(DirectWrite):
    """A connection that can be shut."""

    def __init__(self) -> None:
        self.is_open = True
        self.written: list[bytes] = []

    def write(self, body: bytes) -> bool:
        if self.is_open:
            self.written.append(body)
        return self.is_open


def pieces(direct: DirectWrite | None) -> Pieces:
    return Pieces(ContainedStream(Letters(), "the encoder", lambda _what, _exc: None), direct)


def test_what_cannot_be_written_at_once_is_encoded_once() -> None:
    tap = Tap()
    stream = pieces(tap)
    assert stream.take(A)
    tap.is_open = False
    assert not stream.take(B)
    assert stream.encoded(0, B) == b"b2 "
    assert stream.encoded(0, C) == b"c3 "
    tap.is_open = True
    assert stream.take(D)
    assert tap.written == [b"a1 ", b"d4 "]
    assert stream.taken == 2


def test_what_is_left_is_not_encoded_again_where_it_is_offered_again() -> None:
    tap = Tap()
    tap.is_open = False
    stream = pieces(tap)
    assert not stream.take(A)
    tap.is_open = True  # the head was sent meanwhile
    assert not stream.take(A), "the task has it"
    assert tap.written == []
    assert stream.encoded(0, A) == b"a1 "
    assert stream.take(B)
    assert tap.written == [b"b2 "]


def test_without_a_way_to_the_connection_nothing_is_taken_or_encoded() -> None:
    stream = pieces(None)
    assert not stream.take(A)
    assert not stream.write(b"x")
    assert stream.encoded(0, A) == b"a1 "


def test_a_piece_without_bytes_is_taken_and_writes_nothing() -> None:
    tap = Tap()
    stream = pieces(tap)
    assert stream.take(Token(text="silent"))
    assert tap.written == []


def test_a_long_piece_is_left_for_the_task_which_cuts_it() -> None:
    tap = Tap()
    stream = pieces(tap)
    long = Token(text="x" * PIECE_BYTES)
    assert not stream.take(long)
    assert len(stream.encoded(0, long)) > PIECE_BYTES
    assert tap.written == []


@pytest.mark.parametrize("fault", ["broken", "no bytes"])
def test_a_fault_of_the_encoder_is_raised_in_the_task(fault: str) -> None:
    blamed: list[str] = []
    encoder = ContainedStream(Letters(), "the encoder", lambda what, _exc: blamed.append(what))
    stream = Pieces(encoder, Tap())
    assert not stream.take(Token(text=fault))
    assert blamed == []
    with pytest.raises(InternalError, match="the encoder"):
        stream.encoded(0, Token(text=fault))
    assert len(blamed) == 1


class OfferingService(FakeService):
    """Offers pieces and yields what is not taken, as a worker's engine does.

    ``taken`` are the texts that were taken.
    """

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self.texts = texts
        self.taken: list[str] = []

    async def generate_to(
        self, request: GenerateRequest, take: TakePiece
    ) -> AsyncGenerator[Chunk, None]:
        loop = asyncio.get_running_loop()
        for text in self.texts:
            piece = Token(text=text)
            tried: asyncio.Future[bool] = loop.create_future()
            # From the loop, as what a worker sends comes, while the task of the request waits.
            loop.call_soon(lambda piece=piece, tried=tried: tried.set_result(take(piece)))
            if await tried:
                self.taken.append(text)
            else:
                yield piece
        yield DONE


class Loud:
    """A plugin's middleware that changes each part of a body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def louder(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": message["body"].upper()}
            await send(message)

        await self._app(scope, receive, louder)


class PassOn(BaseHTTPMiddleware):
    """What hosts put around everything."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


async def generated(app: Any, path: str = "/infer") -> list[bytes]:
    """Return the lines of a response from a real server that runs modeld's protocol."""
    async with asyncio.timeout(10), serving(app, http=protocol_class(Settings())) as port:
        caller = await Caller.post(port, path, {"prompt": "x"})
        head = await caller.until(b"\r\n\r\n")
        assert b" 200 " in head
        body = await caller.until(b"\r\n0\r\n\r\n")
        await caller.hang_up()
    return [line for line in body.split(b"\r\n") if line.startswith(b"{")]


def test_all_pieces_but_the_first_are_taken_by_a_server_of_its_own() -> None:
    service = OfferingService("a", "b", "c")
    *tokens, end = asyncio.run(generated(make_app(service)))
    assert tokens == [b'{"token":"a"}\n', b'{"token":"b"}\n', b'{"token":"c"}\n']
    assert b'"done":true' in end
    assert service.taken == ["b", "c"]


def test_a_plugins_middleware_gets_every_part() -> None:
    service = OfferingService("a", "b", "c")
    app = make_app(service, middleware=[Middleware(Loud)])
    *tokens, _end = asyncio.run(generated(app))
    assert tokens == [b'{"TOKEN":"A"}\n', b'{"TOKEN":"B"}\n', b'{"TOKEN":"C"}\n']
    assert service.taken == []


def test_a_hosts_middleware_gets_every_part() -> None:
    service = OfferingService("a", "b", "c")
    host = Starlette(routes=[Mount("/llm", make_app(service))], middleware=[Middleware(PassOn)])
    *tokens, _end = asyncio.run(generated(host, "/llm/infer"))
    assert len(tokens) == 3
    assert service.taken == []


def test_nothing_is_written_past_a_client_that_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What its connection cannot take waits in `send`, whose time is limited."""
    behind: list[bool] = []
    write = CycleWrite.write

    def noted(self: CycleWrite, body: bytes) -> bool:
        written = write(self, body)
        behind.append(self._flow.write_paused and not written)
        return written

    monkeypatch.setattr(CycleWrite, "write", noted)
    texts = [f"{number} " + "x" * 8000 for number in range(1500)]

    async def go() -> bytes:
        app = make_app(OfferingService(*texts))
        async with asyncio.timeout(30), serving(app, http=protocol_class(Settings())) as port:
            caller = await Caller.post(port, "/infer", {"prompt": "x"})
            while not any(behind):  # noqa: ASYNC110  (there is no event to wait for)
                await asyncio.sleep(0.002)
            body = b""
            while not body.endswith(b"\r\n0\r\n\r\n"):
                body += await caller.reader.read(1 << 20)
            await caller.hang_up()
        return body

    body = asyncio.run(go())
    found = [line for line in body.split(b"\r\n") if line.startswith(b'{"token"')]
    assert [line.split(b" ")[0] for line in found] == [
        b'{"token":"%d' % number for number in range(1500)
    ]
