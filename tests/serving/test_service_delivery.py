# SPDX-License-Identifier: GPL-3.0-only
"""Engines that are done before their clients have taken the response."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import pytest

from modeld import Chunk, Done, FinishReason, GenerateRequest, Token
from modeld.errors import DrainingError
from modeld.responses import Failed
from modeld.serving.models import registry
from tests.support.serving.counter import PATIENCE_S, Counter, Speaker, a_counter, a_shelf, until

ONE = GenerateRequest(model="a", prompt="one two")


@pytest.fixture(autouse=True)
def _ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """All words of a generation are there at once, and its end with them."""

    async def stream(
        self: Speaker, request: GenerateRequest, on_end: Callable[[Done | Failed], None]
    ) -> AsyncGenerator[Chunk, None]:
        async with aclosing(self.generate(request)) as chunks:
            said = [chunk async for chunk in chunks]
        assert isinstance(said[-1], Done)
        on_end(said[-1])
        for chunk in said:
            yield chunk

    monkeypatch.setattr(Speaker, "stream", stream)


def running(counter: Counter) -> int:
    return len(counter.queue("a").running)


def test_the_slot_and_the_model_are_free_when_the_engine_is_done() -> None:
    async def main() -> None:
        async with (
            a_counter(a_shelf()) as counter,
            aclosing(counter.service.generate(ONE)) as slow,
        ):
            assert await anext(slow) == Token(text="one")
            assert running(counter) == 0
            assert len(await counter.ask("hi")) == 2
            await counter.service.unload("a")
            assert counter.backend.engines[0].closed

            *_, done = [chunk async for chunk in slow]
            assert isinstance(done, Done)
            assert (done.finish_reason, done.content) == (FinishReason.STOP, "onetwo")
            assert done.usage.completion_tokens == 2

    asyncio.run(main())


def test_a_client_that_leaves_after_the_end_gives_nothing_back_twice() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            async with aclosing(counter.service.generate(ONE)) as slow:
                await anext(slow)
                other = counter.asking("WAIT")
                await until(lambda: running(counter) == 1)
            assert running(counter) == 1, "the other one's"
            counter.backend.engines[0].may_go_on.set()
            await other

    asyncio.run(main())


def test_a_drain_waits_until_what_is_done_was_taken() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            async with aclosing(counter.service.generate(ONE)) as slow:
                await anext(slow)
                drain = asyncio.create_task(counter.service.drain(PATIENCE_S))
                for _ in range(20):
                    await asyncio.sleep(0)
                assert not drain.done()
                assert [type(chunk) async for chunk in slow] == [Token, Done]
            await drain

    asyncio.run(main())


def test_a_drain_waits_no_longer_than_it_may() -> None:
    async def main() -> None:
        async with (
            a_counter(a_shelf()) as counter,
            aclosing(counter.service.generate(ONE)) as slow,
        ):
            await anext(slow)
            await counter.service.drain(0.01)
            assert [type(chunk) async for chunk in slow] == [Token, Done]

    asyncio.run(main())


def test_a_drain_waits_for_no_source_that_a_request_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "RESCAN_INTERVAL_S", 0.0)

    async def main() -> None:
        shelf = a_shelf()
        async with a_counter(shelf) as counter:
            shelf.may_go_on.clear()
            unknown = asyncio.create_task(counter.ask("hi", "z"))
            await until(lambda: shelf.asked == 2)

            async with asyncio.timeout(PATIENCE_S / 2):
                await counter.service.drain(PATIENCE_S)

            with pytest.raises(DrainingError):
                await unknown
            shelf.may_go_on.set()

    asyncio.run(main())
