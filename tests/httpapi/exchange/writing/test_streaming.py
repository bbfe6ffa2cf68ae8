# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import json
import logging
import operator
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from modeld.builtin.ndjson import Ndjson
from modeld.builtin.plain_json import PlainJson
from modeld.builtin.sse import ServerSentEvents
from modeld.errors import (
    InternalError,
    InvalidRequestError,
    QueueFullError,
    RequestTimeoutError,
    WorkerCrashedError,
)
from modeld.httpapi.exchange.disconnect import ClientLeft
from modeld.httpapi.exchange.exchange import Exchange
from modeld.httpapi.exchange.writing import gathered
from modeld.httpapi.exchange.writing.contained_encoder import contained
from modeld.httpapi.exchange.writing.formatted import encoder_of
from modeld.httpapi.exchange.writing.streaming import PIECE_BYTES, Delivery
from modeld.interfaces import OutputFormatter
from modeld.requests import GenerateRequest
from modeld.responses import Chunk, LikelyToken, Token, TokenLogprobs
from tests.support.http.fake_service import DONE, GENERATION, FakeService, Step

FAST_S = 0.02
"""A limit that a test waits for to pass."""

A = b'{"token":"a"}\n'
B = b'{"token":"b"}\n'


class Wire:
    """Both directions of a connection, as a server offers them."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        self.on_send: Callable[[dict[str, Any]], Awaitable[None]] | None = None

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if self.on_send is not None:
            await self.on_send(message)
        self.sent.append(message)

    @property
    def bodies(self) -> list[bytes]:
        return [m["body"] for m in self.sent if m["type"] == "http.response.body"]

    @property
    def status(self) -> int | None:
        return next((m["status"] for m in self.sent if "status" in m), None)

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def is_complete(self) -> bool:
        return bool(self.sent) and self.sent[-1].get("more_body") is False


def exchange() -> Exchange:
    return Exchange({"type": "http", "method": "POST", "headers": []}, lambda event: None)


async def deliver(
    wire: Wire,
    chunks: AsyncGenerator[Chunk, None],
    formatter: OutputFormatter | None = None,
    timeout_s: float | None = None,
    write_timeout_s: float = 60.0,
) -> Exchange:
    seen = exchange()
    encoder = contained(encoder_of(formatter or Ndjson()), "the encoder", lambda _what, _exc: None)
    delivery = Delivery(seen, encoder, wire.send, write_timeout_s=write_timeout_s)
    await delivery.run([chunks], wire.receive, timeout_s)
    return seen


async def played(wire: Wire, *script: Step, **how: Any) -> tuple[FakeService, Exchange]:
    service = FakeService(*script)
    return service, await deliver(wire, service.generate(GenerateRequest(prompt="hi")), **how)


def test_each_chunk_is_one_send_and_the_end_completes_the_body() -> None:
    async def go() -> None:
        wire = Wire()
        await played(wire)
        start, *bodies = wire.sent
        assert start["status"] == 200
        assert [m["body"] for m in bodies[:2]] == [A, B]
        assert json.loads(bodies[2]["body"])["content"] == "ab"
        assert [m["more_body"] for m in bodies] == [True, True, False]

    asyncio.run(go())


@pytest.mark.parametrize("formatter", [Ndjson(), PlainJson()])
def test_each_probability_is_sent_once(formatter: OutputFormatter) -> None:
    async def go() -> None:
        logprobs = tuple(
            TokenLogprobs(chosen=LikelyToken(id=number, piece=b"x", logprob=-1.0))
            for number in range(4)
        )
        script = (
            Token(text="a", logprobs=logprobs[:2]),
            Token(text="b"),
            Token(text="c", logprobs=logprobs[2:3]),
            replace(DONE, logprobs=logprobs[3:]),
        )
        wire = Wire()
        await played(wire, *script, formatter=formatter)
        lines = [json.loads(body).get("logprobs") for body in wire.bodies]
        found = [[each["id"] for each in line] if line else line for line in lines]
        if formatter.streams:
            assert found == [[0, 1], None, [2], [3]]
        else:
            assert found == [[0, 1, 2, 3]]

    asyncio.run(go())


TOP = tuple(LikelyToken(id=number, piece=b"word", logprob=-0.5) for number in range(20))
PROBABLE = Token(text="a", logprobs=(TokenLogprobs(chosen=TOP[0], top=TOP),) * 16)


@pytest.mark.parametrize(
    "script", [(PROBABLE,) * 200, (Token(text='é"\u2028' * 100_000),) * 16], ids=["tokens", "text"]
)
def test_a_whole_response_with_many_probabilities_or_much_text_blocks_nobody(
    script: tuple[Token, ...],
) -> None:
    turns = []

    async def note() -> None:
        while True:
            turns.append(time.perf_counter())
            await asyncio.sleep(0)

    async def go() -> tuple[float, float]:
        wire = Wire()
        turns[:] = [time.perf_counter()]
        noting = asyncio.create_task(note())
        end = replace(DONE, content=None)
        await played(wire, *script, end, formatter=PlainJson())
        noting.cancel()
        response = json.loads(b"".join(wire.bodies))
        assert response["content"] == "".join(token.text for token in script)
        assert len(response.get("logprobs", ())) == sum(len(token.logprobs) for token in script)
        return max(map(operator.sub, turns[1:], turns)), turns[-1] - turns[0]

    longest, whole = min(asyncio.run(go()) for _ in range(3))
    assert longest < whole / 3, (longest, whole)


@pytest.mark.parametrize(
    ("formatter", "media_type"),
    [
        (Ndjson(), b"application/x-ndjson"),
        (ServerSentEvents(), b"text/event-stream; charset=utf-8"),
        (PlainJson(), b"application/json"),
    ],
)
def test_proxies_and_caches_are_told_to_keep_their_hands_off(
    formatter: OutputFormatter, media_type: bytes
) -> None:
    async def go() -> None:
        wire = Wire()
        await played(wire, formatter=formatter)
        assert wire.headers[b"content-type"] == media_type
        assert wire.headers[b"x-accel-buffering"] == b"no"
        assert wire.headers[b"cache-control"] == b"no-store"

    asyncio.run(go())


def test_nothing_is_sent_before_the_first_chunk() -> None:
    async def go() -> None:
        wire, gate = Wire(), asyncio.Event()
        service = FakeService(gate, *GENERATION)
        chunks = service.generate(GenerateRequest(prompt="hi"))
        task = asyncio.create_task(deliver(wire, chunks))
        await service.begun.wait()
        assert wire.sent == []
        gate.set()
        await task
        assert wire.is_complete

    asyncio.run(go())


def test_a_response_without_any_token_is_a_response() -> None:
    async def go() -> None:
        wire = Wire()
        await played(wire, DONE)
        assert wire.status == 200
        assert len(wire.bodies) == 1

    asyncio.run(go())


def test_a_whole_response_is_one_send_with_its_length() -> None:
    async def go() -> None:
        wire = Wire()
        await played(wire, formatter=PlainJson())
        [body] = wire.bodies
        assert wire.headers[b"content-length"] == b"%d" % len(body)
        assert json.loads(body)["content"] == "ab"

    asyncio.run(go())


def test_an_early_failure_is_raised_and_nothing_sent() -> None:
    async def go() -> None:
        wire = Wire()
        with pytest.raises(QueueFullError):
            await played(wire, QueueFullError("full"))
        assert wire.sent == []

    asyncio.run(go())


def test_a_late_failure_of_a_whole_response_is_raised_and_nothing_sent() -> None:
    async def go() -> None:
        wire = Wire()
        with pytest.raises(WorkerCrashedError):
            await played(wire, Token(text="a"), WorkerCrashedError("gone"), formatter=PlainJson())
        assert wire.sent == []

    asyncio.run(go())


def test_a_late_failure_of_a_stream_is_its_last_line() -> None:
    async def go() -> None:
        wire = Wire()
        _, seen = await played(wire, Token(text="a"), WorkerCrashedError("it is gone"))
        first, last = wire.bodies
        assert first == A
        assert json.loads(last) == {
            "error": "it is gone",
            "code": 503,
            "reason": "worker_crashed",
        }
        assert wire.is_complete
        assert seen.outcome == "worker_crashed"

    asyncio.run(go())


def test_a_late_inner_fault_is_told_without_its_details(caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> Wire:
        wire = Wire()
        await played(wire, Token(text="a"), RuntimeError("/home/secret"))
        return wire

    with caplog.at_level(logging.ERROR, "modeld.http"):
        wire = asyncio.run(go())
    last = json.loads(wire.bodies[-1])
    assert last["reason"] == "internal_error"
    assert "secret" not in last["error"]
    assert "/home/secret" in caplog.text


def test_a_stream_that_ends_without_saying_so_is_no_success(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def go() -> None:
        wire = Wire()
        await played(wire, Token(text="a"))
        assert json.loads(wire.bodies[-1])["reason"] == "internal_error"
        with pytest.raises(InternalError):
            await played(Wire(), asyncio_event_that_is_set())

    asyncio.run(go())


def asyncio_event_that_is_set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


def test_the_last_line_is_sent_when_the_service_has_given_everything_back() -> None:
    async def go() -> None:
        wire, service = Wire(), FakeService()

        async def look(message: dict[str, Any]) -> None:
            if message.get("more_body") is False:
                assert service.ends == ["done"]

        wire.on_send = look
        await deliver(wire, service.generate(GenerateRequest(prompt="hi")))
        assert wire.is_complete

    asyncio.run(go())


@pytest.mark.parametrize("before", [[], [Token(text="a")]])
@pytest.mark.parametrize("formatter", [Ndjson(), PlainJson()])
def test_a_client_that_leaves_ends_the_work_at_once(
    before: list[Step], formatter: OutputFormatter
) -> None:
    async def go() -> None:
        wire = Wire()
        service = FakeService(*before, asyncio.Event())
        chunks = service.generate(GenerateRequest(prompt="hi"))
        task = asyncio.create_task(deliver(wire, chunks, formatter))
        await service.begun.wait()
        wire.left.set()
        await service.ended.wait()
        assert service.ends == ["left"]
        if wire.sent:
            assert (await task).outcome == "client_left"
        else:
            with pytest.raises(ClientLeft):
                await task

    asyncio.run(go())


def test_a_client_that_leaves_is_seen_though_chunks_never_wait() -> None:
    async def go() -> None:
        wire = Wire()
        wire.left.set()
        endless = endless_tokens()
        seen = await deliver(wire, endless)
        assert seen.outcome == "client_left"
        assert len(wire.bodies) < 100

    asyncio.run(go())


async def endless_tokens() -> AsyncGenerator[Chunk, None]:
    while True:
        yield Token(text="a")


@pytest.mark.parametrize("formatter", [Ndjson(), PlainJson()])
def test_the_disconnect_that_follows_a_complete_response_is_no_leaving(
    formatter: OutputFormatter,
) -> None:
    async def go() -> None:
        wire = Wire()

        async def report_end(message: dict[str, Any]) -> None:
            if message.get("more_body") is False:
                wire.left.set()
                for _ in range(5):
                    await asyncio.sleep(0)

        wire.on_send = report_end
        _, seen = await played(wire, formatter=formatter)
        assert wire.is_complete
        assert seen.outcome == ""

    asyncio.run(go())


def test_a_server_whose_send_fails_says_that_the_client_left() -> None:
    async def fail(message: dict[str, Any]) -> None:
        if message.get("body") == B:
            raise OSError("gone")

    async def go() -> None:
        wire = Wire()
        wire.on_send = fail
        service, seen = await played(wire)
        assert seen.outcome == "client_left"
        assert service.ends == ["left"]

    asyncio.run(go())


def test_an_oserror_of_the_service_is_an_inner_fault(caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        wire = Wire()
        await played(wire, Token(text="a"), OSError("disk"))
        assert json.loads(wire.bodies[-1])["reason"] == "internal_error"

    asyncio.run(go())


def test_a_formatter_that_fails_is_an_inner_fault_and_ends_the_work(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Ndjson):
        def encode(self, chunk: Chunk) -> bytes:
            if chunk == Token(text="b"):
                raise OSError("broken")
            return super().encode(chunk)

    async def go() -> None:
        wire = Wire()
        service, _ = await played(wire, formatter=Broken())
        assert json.loads(wire.bodies[-1])["reason"] == "internal_error"
        assert service.ends == ["left"]

    asyncio.run(go())


def test_a_request_ends_at_its_own_limit_before_the_first_token() -> None:
    async def go() -> None:
        wire = Wire()
        with pytest.raises(RequestTimeoutError, match=r"timeout_s of 0\.02"):
            await played(wire, asyncio.Event(), timeout_s=FAST_S)
        assert wire.sent == []

    asyncio.run(go())


def test_a_request_ends_at_its_own_limit_in_mid_stream_with_a_last_line() -> None:
    async def go() -> None:
        wire = Wire()
        service, seen = await played(wire, Token(text="a"), asyncio.Event(), timeout_s=FAST_S)
        last = json.loads(wire.bodies[-1])
        assert (last["reason"], last["code"]) == ("request_timeout", 504)
        assert wire.is_complete
        assert service.ends == ["left"]
        assert seen.outcome == "request_timeout"

    asyncio.run(go())


def test_a_timeout_that_is_not_the_requests_own_is_not_taken_for_it() -> None:
    async def go() -> None:
        with pytest.raises(TimeoutError, match="somewhere below"):
            await played(Wire(), TimeoutError("somewhere below"), timeout_s=60.0)

    asyncio.run(go())


def test_a_client_that_takes_nothing_is_given_up() -> None:
    async def stall(message: dict[str, Any]) -> None:
        if message.get("body") == B:
            await asyncio.Event().wait()

    async def go() -> None:
        wire = Wire()
        wire.on_send = stall
        service, seen = await played(wire, write_timeout_s=FAST_S)
        assert wire.bodies == [A]
        assert not wire.is_complete
        assert service.ends == ["left"]
        assert seen.outcome == "client_too_slow"

    asyncio.run(go())


def test_a_client_that_takes_a_long_line_piece_by_piece_is_not_given_up() -> None:
    """No write of the server's takes as long as its limit, though the whole line does."""
    long = Token(text="x" * 20 * PIECE_BYTES)
    taken = 0

    async def trickle(message: dict[str, Any]) -> None:
        nonlocal taken
        assert len(message.get("body", b"")) <= PIECE_BYTES
        taken += 1
        await asyncio.sleep(FAST_S / 8)

    async def go() -> None:
        wire = Wire()
        wire.on_send = trickle
        done = replace(DONE, content=long.text)
        _, seen = await played(wire, long, done, write_timeout_s=FAST_S)
        assert taken > 40
        assert seen.outcome == ""
        first, last = b"".join(wire.bodies).splitlines()
        assert json.loads(first)["token"] == json.loads(last)["content"] == long.text

    asyncio.run(go())


def test_a_whole_response_is_sent_in_pieces_with_its_length() -> None:
    async def go() -> None:
        wire = Wire()
        done = replace(DONE, content="x" * 3 * PIECE_BYTES)
        await played(wire, done, formatter=PlainJson())
        assert [len(body) == PIECE_BYTES for body in wire.bodies] == [True] * 3 + [False]
        body = b"".join(wire.bodies)
        assert wire.headers[b"content-length"] == b"%d" % len(body)
        assert json.loads(body)["content"] == done.content

    asyncio.run(go())


def test_a_client_that_leaves_in_the_middle_of_the_end_has_left() -> None:
    async def go() -> None:
        wire = Wire()

        async def leave(message: dict[str, Any]) -> None:
            if message.get("body"):
                wire.left.set()
                await asyncio.Event().wait()

        wire.on_send = leave
        done = replace(DONE, content="x" * 3 * PIECE_BYTES)
        _, seen = await played(wire, done, formatter=PlainJson())
        assert seen.outcome == "client_left"

    asyncio.run(go())


def test_a_whole_response_has_the_text_that_its_end_does_not_repeat() -> None:
    async def go() -> None:
        wire = Wire()
        script = (Token(text="a"), Token(text="b\r\n"), replace(DONE, content=None))
        await played(wire, *script, formatter=PlainJson())
        assert json.loads(wire.bodies[-1])["content"] == "ab\r\n"
        wire = Wire()
        await played(wire, *script)
        assert "content" not in json.loads(wire.bodies[-1])

    asyncio.run(go())


def test_a_whole_response_that_is_too_long_is_refused_and_its_work_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gathered, "MOST_WHOLE", 3)

    async def go() -> None:
        service = FakeService(*[Token(text="ab")] * 5, DONE)
        chunks = service.generate(GenerateRequest(prompt="hi"))
        with pytest.raises(InvalidRequestError, match="ask for a stream") as caught:
            await deliver(Wire(), chunks, PlainJson())
        assert caught.value.field == "stream"
        assert service.ends == ["left"]

    asyncio.run(go())


def test_a_model_that_is_slow_is_no_slow_client() -> None:
    async def go() -> None:
        wire, gate = Wire(), asyncio.Event()
        asyncio.get_running_loop().call_later(5 * FAST_S, gate.set)
        _, seen = await played(wire, Token(text="a"), gate, DONE, write_timeout_s=FAST_S)
        assert wire.is_complete
        assert seen.outcome == ""

    asyncio.run(go())


def test_nothing_is_left_behind_by_a_response() -> None:
    async def go() -> None:
        await played(Wire())
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(go())
