# SPDX-License-Identifier: GPL-3.0-only
"""Generations over real sockets, from a server that keeps to its word."""

from __future__ import annotations

import asyncio

import pytest
from attached import CHAT, attached, end_of, generated, text_of
from scripted_server import USAGE, Asked, Connection, delta, ended, hello, scripted

from modeld import FinishReason, Token, Usage
from modeld.errors import DrainingError
from modeld.responses import ReasoningToken, ToolCallDelta


def test_a_generation_comes_with_its_text_its_end_and_its_usage() -> None:
    async def main() -> None:
        async with scripted(hello) as server, attached(server.url) as engine:
            chunks = await generated(engine)
            assert text_of(chunks) == "Hello there"
            end = end_of(chunks)
            assert end.finish_reason is FinishReason.STOP
            assert end.usage == Usage(prompt_tokens=3, completion_tokens=2)
            (asked,) = server.posted
            assert asked.path == "/v1/chat/completions"
            assert asked.body["model"] == "some-model"

    asyncio.run(main())


def test_each_chunk_is_passed_on_before_the_next_one_is_sent() -> None:
    taken = asyncio.Event()

    async def respond(_asked: Asked, connection: Connection) -> None:
        await connection.begin()
        for word in ("one", "two", "three"):
            await connection.event(delta(content=word))
            await taken.wait()
            taken.clear()
        await connection.event(ended())
        await connection.end()

    async def main() -> None:
        async with scripted(respond) as server, attached(server.url) as engine:
            words = []
            async for chunk in engine.generate(CHAT):
                if isinstance(chunk, Token):
                    words.append(chunk.text)
                    taken.set()
            assert words == ["one", "two", "three"]

    asyncio.run(main())


def test_who_leaves_closes_the_connection_to_the_server() -> None:
    left = asyncio.Event()

    async def respond(_asked: Asked, connection: Connection) -> None:
        await connection.begin()
        await connection.event(delta(content="one"))
        await connection.left.wait()
        left.set()

    async def main() -> None:
        async with scripted(respond) as server, attached(server.url) as engine:
            chunks = engine.generate(CHAT)
            assert await anext(chunks) == Token(text="one")
            await chunks.aclose()
            await asyncio.wait_for(left.wait(), 5)

    asyncio.run(main())


def test_who_leaves_before_the_first_token_closes_the_connection_too() -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def respond(_asked: Asked, connection: Connection) -> None:
        asked.set()
        await connection.left.wait()
        left.set()

    async def main() -> None:
        async with scripted(respond) as server, attached(server.url) as engine:
            task = asyncio.create_task(generated(engine))
            await asked.wait()
            task.cancel()
            await asyncio.wait_for(left.wait(), 5)
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


def test_reasoning_and_calls_come_as_such() -> None:
    async def respond(_asked: Asked, connection: Connection) -> None:
        await connection.begin()
        await connection.event(delta(reasoning_content="Hm"))
        await connection.event(delta(reasoning="m"))
        first = {"index": 0, "id": "call_1", "function": {"name": "look", "arguments": ""}}
        await connection.event(delta(tool_calls=[first]))
        await connection.event(
            delta(tool_calls=[{"index": 0, "function": {"name": "look", "arguments": '{"a":1}'}}])
        )
        await connection.event(ended("tool_calls"))
        await connection.event(USAGE)
        await connection.end()

    async def main() -> None:
        async with scripted(respond) as server, attached(server.url) as engine:
            *pieces, end = await generated(engine)
            assert pieces == [
                ReasoningToken(text="Hm"),
                ReasoningToken(text="m"),
                ToolCallDelta(index=0, id="call_1", name="look"),
                ToolCallDelta(index=0, arguments='{"a":1}'),
            ]
            assert end_of([end]).finish_reason is FinishReason.TOOL_CALLS

    asyncio.run(main())


def test_a_connection_is_used_again_after_a_whole_response() -> None:
    async def main() -> None:
        async with scripted(hello) as server, attached(server.url) as engine:
            for _ in range(3):
                assert text_of(await generated(engine)) == "Hello there"
                await asyncio.sleep(0)
            assert server.connections == 1

    asyncio.run(main())


@pytest.mark.parametrize("begins", [True, False])
def test_who_still_waits_when_the_engine_closes_is_told(begins: bool) -> None:
    asked = asyncio.Event()

    async def respond(_asked: Asked, connection: Connection) -> None:
        if begins:
            await connection.begin()
            await connection.event(delta(content="one"))
        asked.set()
        await connection.left.wait()

    async def main() -> None:
        async with scripted(respond) as server, attached(server.url) as engine:
            task = asyncio.create_task(generated(engine))
            await asked.wait()
            await asyncio.sleep(0)
            await engine.aclose()
            with pytest.raises(DrainingError):
                await task
            with pytest.raises(DrainingError):
                await generated(engine)
            await engine.aclose()

    asyncio.run(main())
