# SPDX-License-Identifier: GPL-3.0-only
"""What an observer keeps to."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from functools import partial
from typing import ClassVar, Final, get_args

from modeld import Observer
from modeld.events import (
    ConnectionRefused,
    Event,
    HttpRequestFinished,
    HttpRequestStarted,
    LoopLag,
    ModelEvicted,
    ModelLoaded,
    ModelLoadFailed,
    ModelLoading,
    ModelLoadProgress,
    RequestFinished,
    RequestRefused,
    RequestStarted,
    WorkerExited,
)
from modeld.status import EvictionReason
from modeld.testing.contract import Contract, assert_that, check
from modeld.testing.contracts.naming import check_name
from modeld.testing.contracts.timing import quickest
from modeld.testing.leftovers import nothing_left

MANY: Final = 2_000
KEPT_BYTES: Final = 8 << 20
TAKES: Final = "test_it_takes_every_event"
TEXT: Final = 'a\n"\\\N{BALLOON}\x00'


class ObserverContract(Contract):
    """What every observer keeps to. ``observer`` is the one to look at."""

    subjects: ClassVar[tuple[str, ...]] = ("observer",)

    observer: Observer
    quick_s: float = 0.05

    @check()
    def test_it_has_a_name(self) -> None:
        """It is named, with a text that can be a label."""
        check_name("the observer", self.observer)

    @check()
    async def test_it_takes_every_event(self) -> None:
        """None of them is a reason to fail, whatever is in its texts."""
        for event in events():
            said: object = self.observer.notify(event)
            if asyncio.iscoroutine(said):
                said.close()
            assert_that(
                said is None,
                f"notify returned {said!r} for a {type(event).__name__}; it returns nothing, and is"
                " no coroutine function",
            )

    @check(TAKES)
    async def test_it_returns_at_once(self) -> None:
        """It never blocks the event loop."""
        for event in events():
            took_s = quickest(partial(self.observer.notify, event))
            assert_that(
                took_s < self.quick_s,
                f"notify took {took_s:.2f} s for a {type(event).__name__}; the event loop waits"
                " for it: hand over to a thread what takes long",
            )

    @check(TAKES)
    async def test_it_does_not_grow_with_every_event(self) -> None:
        """What it keeps is bounded: a server runs for months."""
        for event in _different(MANY):  # what it keeps for good, it has now
            self.observer.notify(event)
        tracemalloc.start(1)
        try:
            before, _ = tracemalloc.get_traced_memory()
            for event in _different(MANY):
                self.observer.notify(event)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert_that(
            after - before < KEPT_BYTES,
            f"{3 * MANY:,} more events left {(after - before) >> 10:,} KiB behind; bound what is"
            " kept, and make no label of a request's id",
        )

    @check(TAKES)
    async def test_nothing_is_left_of_an_event(self) -> None:
        """No thread and no descriptor is begun for each of them."""
        for event in events():  # what it begins once, it begins now
            self.observer.notify(event)
        async with nothing_left("events"):
            for event in events():
                self.observer.notify(event)


def events() -> Iterator[Event]:
    """Yield events of every kind, and then those again that differ from others in a member.

    Raises:
        AssertionError: there is a kind that this module does not know.
    """
    found = list(_all())
    missing = set(get_args(Event)) - {type(event) for event in found}
    assert not missing, f"no example of {missing}"
    yield from found


def _all() -> Iterator[Event]:
    for model in ("m", TEXT):
        yield ModelLoading(model=model)
        yield ModelLoadProgress(model=model, fraction=0.5)
        yield ModelLoaded(model=model, seconds=1.0, held_bytes=5, estimated_bytes=4, warm_up_s=0.5)
        yield ModelLoadFailed(model=model, reason="load_failed", message=TEXT, retry_after_s=1.0)
        for reason in EvictionReason:
            yield ModelEvicted(model=model, reason=reason, freed_bytes=5)
        yield WorkerExited(model=model, cause="signal", detail=TEXT)
        yield RequestRefused(request_id="r", model=model, reason="queue_full")
        yield RequestStarted(request_id="r", model=model, queue_wait_s=0.1)
        for outcome, first_s in (("stop", 0.2), ("cancelled", None)):
            yield RequestFinished(
                request_id="r",
                model=model,
                outcome=outcome,
                seconds=1.0,
                first_token_s=first_s,
                prompt_tokens=3,
                completion_tokens=2,
                gaps_s=(0.1, 0.2),
            )
    yield HttpRequestStarted(route="/infer", method="POST")
    yield HttpRequestFinished(route="/infer", method="POST", status=200, seconds=1.0)
    yield ConnectionRefused(status=431, reason="head_too_large")
    yield LoopLag(seconds=0.01)


def _different(count: int) -> Iterator[Event]:
    """Yield requests one after the other, each with an id and texts of its own."""
    for number in range(count):
        request_id, model = f"request-{number:08d}-{'x' * 2000}", f"m{number % 10}"
        yield RequestStarted(request_id=request_id, model=model, queue_wait_s=0.1)
        yield RequestFinished(
            request_id=request_id,
            model=model,
            outcome="stop",
            seconds=1.0,
            first_token_s=0.2,
            prompt_tokens=3,
            completion_tokens=2,
        )
        yield WorkerExited(model=model, cause="exit", detail=f"{number} " + "y" * 2000)
