# SPDX-License-Identifier: GPL-3.0-only
"""Readers that are slower than their engine, in real processes and threads."""

import asyncio
from contextlib import aclosing

import pytest

from modeld import Token
from modeld.hosting.channel.credit import MOST_UNDER_WAY, cost
from modeld.hosting.channel.frames import Report, Stepped
from modeld.hosting.hosted import HostedEngine
from tests.support.hosting.leaks import run, until
from tests.support.hosting.rigged import HOSTS, Stream, an_engine, ask, plan, tokens

LONG = 20_000
"""Tokens that are far more than may be under way."""


@pytest.mark.parametrize("kind", HOSTS)
def test_a_reader_that_stops_holds_up_itself_alone_and_is_no_stall(kind: str) -> None:
    async def main() -> None:
        quick = {"stall_timeout_s": 0.5}
        async with (
            an_engine(kind, quick, slots=2) as engine,
            aclosing(engine.generate(plan(tokens=LONG, burst=50))) as chunks,
        ):
            assert isinstance(engine, HostedEngine)
            text = ""
            async for chunk in chunks:
                assert isinstance(chunk, Token)
                text += chunk.text
                break
            assert await ask(engine, tokens=LONG, burst=50) == tokens(LONG)
            await until(lambda: beats(engine) >= 4)
            assert engine.failure() is None, "four signs of life are longer than the limit"
            (mailbox,) = engine._mailboxes.values()
            assert sum(map(cost, mailbox.chunks)) < MOST_UNDER_WAY

            async for chunk in chunks:
                text += chunk.text if isinstance(chunk, Token) else ""
            assert text == tokens(LONG)

    seen: list[Report] = []

    def beats(engine: HostedEngine) -> int:
        """Return how many signs of life have come since this was asked first."""
        if not seen:
            inner = engine._link.on_report

            def note(report: Report) -> None:
                seen.append(report)
                inner(report)

            engine._link.on_report = note
        return seen.count(Stepped(chunks=()))

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_readers_of_all_kinds_get_every_token(kind: str) -> None:
    async def main() -> None:
        async with an_engine(kind, slots=4) as engine:
            streams = [Stream(engine, plan(tokens=LONG, burst=7 + n)) for n in range(4)]
            await streams[3].came.wait()
            await streams[3].leave()
            for stream in streams[:3]:
                await stream.end()
                assert stream.text == tokens(LONG)
            assert await ask(engine, tokens=3) == tokens(3)

    run(main())


def test_a_stopped_reader_can_leave_and_its_slot_is_free() -> None:
    async def main() -> None:
        async with an_engine(slots=1) as engine:
            chunks = engine.generate(plan(tokens=LONG, burst=50))
            await anext(chunks)
            await asyncio.sleep(0)
            await chunks.aclose()
            assert await ask(engine, tokens=3) == tokens(3)

    run(main())
