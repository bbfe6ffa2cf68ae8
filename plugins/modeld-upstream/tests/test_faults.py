# SPDX-License-Identifier: GPL-3.0-only
"""Servers that fail, in every way that they do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from attached import CHAT, attached, generated, text_of
from modeld_upstream.connection.errors import (
    UpstreamAddressError,
    UpstreamError,
    UpstreamLostError,
    UpstreamRefusedError,
    UpstreamStalledError,
)
from scripted_server import Asked, Connection, Scripted, delta, ended, hello, scripted

from modeld import Engine, Token
from modeld.errors import (
    InvalidRequestError,
    ModeldError,
    ModelNotFoundError,
    NotSupportedError,
    PromptTooLongError,
    QueueFullError,
    WorkerCrashedError,
)
from modeld.requests import EmbedRequest

EMBED = EmbedRequest(inputs=("a",))


def refusal(status: int, body: object = b"", **headers: str) -> ModeldError:
    """Return what a request fails with that a server refuses."""

    async def respond(_asked: Asked, connection: Connection) -> None:
        await connection.whole(status, body, **headers)

    async def main() -> ModeldError:
        async with scripted(respond) as server, attached(server.url, retry_for_s=0) as engine:
            with pytest.raises(ModeldError) as caught:
                await generated(engine)
            return caught.value

    return asyncio.run(main())


def test_a_bad_request_is_told_in_the_words_of_the_server() -> None:
    said = {"error": {"message": "temperature is too hot", "param": "temperature", "code": 400}}
    error = refusal(400, said)
    assert type(error) is InvalidRequestError
    assert (error.message, error.field) == ("temperature is too hot", "temperature")


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"message": "no", "code": "context_length_exceeded"}},
        {"error": {"message": "no", "type": "exceed_context_size_error"}},
        {"object": "error", "message": "This model's maximum context length is 512 tokens"},
    ],
)
def test_a_prompt_that_is_too_long_is_known_as_such(said: object) -> None:
    assert type(refusal(400, said)) is PromptTooLongError


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_the_operators_fault_and_not_the_clients(status: int) -> None:
    error = refusal(status, {"error": {"message": "no such key"}})
    assert type(error) is UpstreamRefusedError
    assert "key_file" in error.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, UpstreamAddressError),
        (422, InvalidRequestError),
        (429, QueueFullError),
        (500, UpstreamError),
        (501, NotSupportedError),
        (302, UpstreamError),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[ModeldError]) -> None:
    assert type(refusal(status, b"words of its own")) is kind


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"message": "no", "code": "model_not_found"}},
        {"error": {"message": "no", "param": "model", "code": None}},
        {"object": "error", "message": "The model `m` does not exist.", "code": 404},
        {"error": {"message": 'model "m" not found, try pulling it first', "code": None}},
    ],
)
def test_a_model_that_a_server_does_not_know_is_not_found(said: object) -> None:
    assert type(refusal(404, said)) is ModelNotFoundError


@pytest.mark.parametrize(
    "said",
    [
        {"detail": "Not Found"},
        {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}},
        {"error": "Cannot POST /model/chat/completions"},
    ],
)
def test_an_address_that_a_server_does_not_know_is_the_operators_to_mend(said: object) -> None:
    error = refusal(404, said)
    assert error.code == "upstream_failed"
    assert "see to its url" in error.message


def test_a_response_that_says_when_to_come_back_is_passed_on() -> None:
    assert refusal(503, Retry_After="7").retry_after_s == 7.0


def test_no_key_goes_where_a_server_points() -> None:
    async def main() -> None:
        async with scripted(hello) as elsewhere:

            async def respond(_asked: Asked, connection: Connection) -> None:
                await connection.whole(307, Location=f"{elsewhere.url}/chat/completions")

            async with scripted(respond) as server, attached(server.url) as engine:
                with pytest.raises(UpstreamError):
                    await generated(engine)
            assert elsewhere.asked == []

    asyncio.run(main())


def tried(*responses: Callable[[Asked, Connection], Awaitable[None]], **members: Any) -> Scripted:
    """Return a server that was asked for one generation, with a response for each try."""
    left = list(responses)

    async def respond(asked: Asked, connection: Connection) -> None:
        await left.pop(0)(asked, connection)

    async def main() -> Scripted:
        async with scripted(respond) as server, attached(server.url, **members) as engine:
            assert text_of(await generated(engine)) == "Hello there"
            return server

    return asyncio.run(main())


async def busy(_asked: Asked, connection: Connection) -> None:
    await connection.whole(503, b"Loading model")


async def too_many(_asked: Asked, connection: Connection) -> None:
    await connection.whole(429, Retry_After="0")


async def slams(_asked: Asked, connection: Connection) -> None:
    connection.cut()


@pytest.mark.parametrize("first", [busy, too_many, slams])
def test_what_has_not_begun_is_tried_again(
    first: Callable[[Asked, Connection], Awaitable[None]],
) -> None:
    assert len(tried(first, hello).posted) == 2


def test_a_request_that_a_server_dies_of_is_not_sent_again_and_again() -> None:
    _, error, server = failing(slams)
    assert isinstance(error, UpstreamError)
    assert len(server.posted) == 2


def test_a_connection_that_was_closed_meanwhile_costs_nothing() -> None:
    async def closes(asked: Asked, connection: Connection) -> None:
        await hello(asked, connection)
        connection.close()

    async def main() -> None:
        async with scripted(closes) as server, attached(server.url) as engine:
            for _ in range(5):
                assert text_of(await generated(engine)) == "Hello there"

    asyncio.run(main())


def failing(
    respond: Callable[[Asked, Connection], Awaitable[None]], **members: Any
) -> tuple[list[str], ModeldError, Scripted]:
    """Return the text that comes before a failure, the failure, and the server."""

    async def main() -> tuple[list[str], ModeldError, Scripted]:
        async with scripted(respond) as server, attached(server.url, **members) as engine:
            texts: list[str] = []
            with pytest.raises(ModeldError) as caught:
                await _gather(engine, texts)
            return texts, caught.value, server

    return asyncio.run(main())


async def _gather(engine: Engine, texts: list[str]) -> None:
    async for chunk in engine.generate(CHAT):
        assert isinstance(chunk, Token)
        texts.append(chunk.text)


async def dies(_asked: Asked, connection: Connection) -> None:
    await connection.begin()
    await connection.event(delta(content="one"))
    connection.cut()


async def forgets_the_end(_asked: Asked, connection: Connection) -> None:
    await connection.begin()
    await connection.event(delta(content="one"))
    await connection.finish()


async def sends_garbage(_asked: Asked, connection: Connection) -> None:
    await connection.begin()
    await connection.event(delta(content="one"))
    await connection.send(b"data: {]\n\n")


async def sends_what_is_none(_asked: Asked, connection: Connection) -> None:
    await connection.begin()
    await connection.event(delta(content="one"))
    await connection.event({"choices": [{"delta": {"content": 7}}]})


async def fails_late(_asked: Asked, connection: Connection) -> None:
    await connection.begin()
    await connection.event(delta(content="one"))
    await connection.event({"error": {"message": "out of memory", "code": 500}})
    await connection.end()


async def aborts(_asked: Asked, connection: Connection) -> None:
    await connection.begin()
    await connection.event(delta(content="one"))
    await connection.event(ended("abort"))
    await connection.end()


@pytest.mark.parametrize(
    "respond", [dies, forgets_the_end, sends_garbage, sends_what_is_none, fails_late, aborts]
)
def test_a_broken_generation_never_ends_as_if_it_were_done(
    respond: Callable[[Asked, Connection], Awaitable[None]],
) -> None:
    texts, error, server = failing(respond)
    assert texts == ["one"]
    assert isinstance(error, UpstreamError)
    assert len(server.posted) == 1, "what has begun is never tried again"


def test_an_error_in_a_stream_is_that_error() -> None:
    async def respond(_asked: Asked, connection: Connection) -> None:
        await connection.begin()
        await connection.event({"error": {"message": "too long", "code": 400, "type": "invalid"}})

    assert type(failing(respond)[1]) is InvalidRequestError


async def falls_silent(_asked: Asked, connection: Connection) -> None:
    await connection.begin()
    await connection.event(delta(content="one"))
    await connection.left.wait()


def test_a_server_that_falls_silent_hangs() -> None:
    texts, error, _ = failing(falls_silent, stall_timeout_s=0.5)
    assert texts == ["one"]
    assert isinstance(error, WorkerCrashedError)
    assert (error.cause, "hangs" in error.message) == ("stall", True)


def test_a_server_that_has_forgotten_one_request_serves_the_others() -> None:
    forgotten = asyncio.Event()

    async def respond(asked: Asked, connection: Connection) -> None:
        if not forgotten.is_set():
            forgotten.set()
            await connection.left.wait()
            return
        await connection.begin()
        while not connection.left.is_set():
            await connection.event(delta(content="on"))
            await asyncio.sleep(0.02)

    async def main() -> None:
        async with scripted(respond) as server, attached(server.url, stall_timeout_s=1.0) as engine:
            first = asyncio.create_task(generated(engine))
            await forgotten.wait()
            second = asyncio.create_task(generated(engine))
            with pytest.raises(UpstreamStalledError, match="nothing for 1 s"):
                await first
            assert engine.failure() is None
            second.cancel()

    asyncio.run(main())


def test_a_server_that_has_forgotten_one_embedding_makes_the_others() -> None:
    forgotten = asyncio.Event()

    async def respond(_asked: Asked, connection: Connection) -> None:
        if not forgotten.is_set():
            forgotten.set()
            await connection.left.wait()
            return
        await connection.whole(200, {"data": [{"index": 0, "embedding": [1.0]}]})

    async def main() -> None:
        async with scripted(respond) as server, attached(server.url, stall_timeout_s=1.0) as engine:
            first = asyncio.create_task(engine.submit(EMBED))
            await forgotten.wait()
            while not first.done():
                await engine.submit(EMBED)
            with pytest.raises(UpstreamStalledError, match="nothing for 1 s"):
                await first
            assert engine.failure() is None

    asyncio.run(main())


def test_a_server_that_responds_to_nothing_else_while_it_serves_is_not_gone() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def respond(asked: Asked, connection: Connection) -> None:
        begun.set()
        await go_on.wait()
        await hello(asked, connection)

    async def main() -> None:
        async with (
            scripted(respond) as server,
            attached(server.url, health_interval_s=0.01) as engine,
        ):
            task = asyncio.create_task(generated(engine))
            await begun.wait()
            seen = len(server.asked)
            await asyncio.wait({task}, timeout=0.2)
            assert len(server.asked) == seen, "nobody looks while a request runs"
            go_on.set()
            assert text_of(await task) == "Hello there"
            assert engine.failure() is None

    asyncio.run(main())


def test_an_event_without_end_is_given_up() -> None:
    async def respond(_asked: Asked, connection: Connection) -> None:
        await connection.begin()
        while not connection.left.is_set():
            await connection.send(b"data: " + b"x" * (1 << 20))

    assert "4194304 bytes" in failing(respond)[1].message


def test_a_page_instead_of_a_stream_is_no_generation() -> None:
    async def respond(_asked: Asked, connection: Connection) -> None:
        await connection.whole(200, b"<html>", Content_Type="text/html")

    assert "text/html" in failing(respond)[1].message


def test_a_server_that_is_down_is_no_fault_of_the_plugin() -> None:
    async def main() -> None:
        with pytest.raises(UpstreamLostError, match="cannot be reached"):
            async with attached("http://127.0.0.1:9/v1", retry_for_s=0):
                pass

    asyncio.run(main())


def test_a_server_that_is_gone_is_noticed_without_any_request() -> None:
    async def main() -> None:
        async with scripted(hello) as server:
            context = attached(server.url, health_interval_s=0.01)
            engine = await context.__aenter__()
        death = await asyncio.wait_for(engine.wait_exited(), 10)
        assert death.cause == "stall"
        assert engine.failure() is death
        with pytest.raises(WorkerCrashedError):
            await generated(engine)
        await context.__aexit__(None, None, None)

    asyncio.run(main())
