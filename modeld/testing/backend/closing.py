# SPDX-License-Identifier: GPL-3.0-only
"""Checks of how engines close."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Final

from modeld import Done, Engine
from modeld.errors import DrainingError, ModeldError
from modeld.requests import AnyUnaryRequest, EmbedRequest, TokenizeRequest
from modeld.testing.backend.generating import ENDS, REPEATS
from modeld.testing.backend.loading import LOADED
from modeld.testing.backend.subject import BackendSubject, Generation, collect
from modeld.testing.contract import assert_that, check

MANY: Final = 96
"""Tokens of a request that still runs when its engine is closed."""


class ClosingChecks(BackendSubject):
    """What closing an engine does, and what it serves afterwards."""

    @check(LOADED)
    async def test_an_engine_closes_twice(self) -> None:
        """The second time nothing happens."""
        async with self.loaded() as engine:
            await engine.aclose()
            await engine.aclose()

    @check(REPEATS)
    async def test_an_engine_closes_while_it_runs(self) -> None:
        """A request that runs then fails, unless all of it was there, and is never cut short."""
        async with self.loaded() as engine:
            whole = await collect(engine, self.request(max_tokens=MANY))
            async with aclosing(engine.generate(self.request(max_tokens=MANY))) as chunks:
                found = Generation(pieces=[])
                closing: asyncio.Future[None] | None = None
                try:
                    async for chunk in chunks:
                        closing = closing or asyncio.ensure_future(engine.aclose())
                        if isinstance(chunk, Done):
                            found.done = chunk
                        else:
                            found.pieces.append(chunk)
                except DrainingError:
                    return
                finally:
                    await (closing or engine.aclose())
            assert_that(
                found.done is not None and found.text == whole.text,
                "the engine was closed, and a request that ran ended as if it were done; raise"
                " DrainingError in generate",
            )

    @check(LOADED, "test_an_engine_closes_twice")
    async def test_a_closed_engine_takes_no_unary_request(self) -> None:
        """It raises an error, whether the kind was served before or not."""
        requests: tuple[AnyUnaryRequest, ...] = (
            TokenizeRequest(text="a boat"),
            EmbedRequest(inputs=("a boat",)),
        )
        async with self.loaded() as engine:
            await engine.aclose()
            for request in requests:
                assert_that(
                    await _refuses(engine, request),
                    f"a closed engine has served a {type(request).__name__}; raise DrainingError in"
                    " submit",
                )

    @check(ENDS)
    async def test_a_closed_engine_serves_nothing(self) -> None:
        """It raises an error, and does not wait for what cannot come."""
        async with self.loaded() as engine:
            await engine.aclose()
            try:
                await collect(engine, self.request(max_tokens=1))
            except ModeldError:
                return
            raise AssertionError("a closed engine has served a request; raise DrainingError")


async def _refuses(engine: Engine, request: AnyUnaryRequest) -> bool:
    try:
        await engine.submit(request)
    except ModeldError:
        return True
    return False
