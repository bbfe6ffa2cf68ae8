# SPDX-License-Identifier: GPL-3.0-only
"""Checks that nothing is left of a model once it has been in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Final

from modeld import Engine
from modeld.testing.backend.generating import ENDS
from modeld.testing.backend.host import DrivingHost
from modeld.testing.backend.loading import LOADED
from modeld.testing.backend.subject import BackendSubject, collect
from modeld.testing.contract import DisclaimedError, assert_that, check
from modeld.testing.leftovers import nothing_left, resident_bytes

CLEAN: Final = "test_nothing_is_left_of_a_model_that_was_closed"
LIVES: Final = 3


class LifeChecks(BackendSubject):
    """Whole lives of models, and loads that were given up."""

    @check(LOADED, ENDS)
    async def test_nothing_is_left_of_a_model_that_was_closed(self) -> None:
        """No thread, no process and no descriptor stays."""
        async with self.loaded() as engine:  # what a runtime keeps for good, it begins with now
            await self._some_work(engine)
        async with nothing_left("a model was loaded, used and closed"), self.loaded() as engine:
            await self._some_work(engine)

    @check(LOADED, CLEAN)
    async def test_nothing_is_left_of_a_load_that_was_cancelled(self) -> None:
        """A task that is cancelled while it loads frees what it took, early and half-way."""
        began_s = time.monotonic()
        async with self.loaded():
            whole_s = time.monotonic() - began_s
        await self._cancel_load(_turns(1))
        await self._cancel_load(_turns(8))
        await self._cancel_load(asyncio.sleep(whole_s / 2))

    @check(LOADED, ENDS)
    async def test_memory_comes_back(self) -> None:
        """A process does not grow with each life of a model."""
        after: list[int] = []
        for _ in range(LIVES + 1):
            async with self.loaded() as engine:
                await self._some_work(engine)
                held = engine.held_bytes
            after.append(resident_bytes())
        if not after[0]:
            raise DisclaimedError("this system does not tell how much memory a process has")
        grown, allowed = after[-1] - after[0], self.kept_bytes + LIVES * held // 10
        assert_that(
            grown < allowed,
            f"the process has grown by {grown >> 20} MiB over {LIVES} lives of the model; give all"
            " memory back in close, and keep nothing of an engine outside it",
        )

    async def _cancel_load(self, until: Awaitable[None]) -> None:
        async with nothing_left("a load that was cancelled"):
            host = DrivingHost()
            load = asyncio.ensure_future(self.backend.load(self.spec, self.typed_options, host))
            await until
            load.cancel()
            await asyncio.wait([load])
            if not load.cancelled() and load.exception() is None:  # it was quicker
                engine = load.result()
                if engine not in host.engines:
                    await engine.aclose()
            await host.aclose()

    async def _some_work(self, engine: Engine) -> None:
        try:
            request = self.request(max_tokens=4)
        except DisclaimedError:
            return
        await collect(engine, request)


async def _turns(number: int) -> None:
    """Let the event loop go round some times."""
    for _ in range(number):
        await asyncio.sleep(0)
