# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from modeld.events import Event, LoopLag
from modeld.httpapi.server.loop_lag import INTERVAL_S, LOOKS, LoopLagWatch
from tests.support.http.fake_service import FakeService, make_app


class Timer:
    def __init__(self, when_s: float, call: Callable[[], None]) -> None:
        self.when_s, self.call, self.cancelled = when_s, call, False

    def cancel(self) -> None:
        self.cancelled = True


class LateLoop:
    """A loop that comes to its one timer as late as it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, when_s: float, call: Callable[..., None], *args: Any) -> Timer:
        self.timers.append(Timer(when_s, lambda: call(*args)))
        return self.timers[-1]

    def turn(self, late_s: float = 0.0) -> None:
        self.now_s = self.timers[-1].when_s + late_s
        self.timers[-1].call()


def test_the_worst_of_a_second_is_told_once() -> None:
    told: list[Event] = []
    loop, watch = LateLoop(), LoopLagWatch(told.append)
    watch.start(cast(asyncio.AbstractEventLoop, loop))
    watch.start(cast(asyncio.AbstractEventLoop, loop))
    assert len(loop.timers) == 1
    for late_s in (0.25, 3.0, *[0.0] * (LOOKS - 2)):
        assert told == []
        loop.turn(late_s)
    assert told == [LoopLag(seconds=3.0)]
    for _ in range(LOOKS):
        loop.turn()
    assert told == [LoopLag(seconds=3.0), LoopLag(seconds=0.0)]
    assert loop.timers[-1].when_s == loop.now_s + INTERVAL_S


def test_nothing_is_looked_at_after_the_stop() -> None:
    loop, watch = LateLoop(), LoopLagWatch(lambda _event: None)
    watch.stop()
    watch.start(cast(asyncio.AbstractEventLoop, loop))
    watch.stop()
    assert [timer.cancelled for timer in loop.timers] == [True]


def test_an_application_watches_its_loop_while_it_runs() -> None:
    async def main() -> None:
        app = make_app(FakeService())
        loop = asyncio.get_running_loop()
        before = set(loop._scheduled)  # type: ignore[attr-defined]
        await app.start()
        await app.start()
        (timer,) = set(loop._scheduled) - before  # type: ignore[attr-defined]
        await app.aclose()
        assert timer.cancelled()

    asyncio.run(main())
