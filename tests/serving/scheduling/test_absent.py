# SPDX-License-Identifier: GPL-3.0-only
"""What grows with the number of models that were ever used: nothing but totals."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from modeld.errors import ModelNotFoundError
from modeld.serving.scheduling import absent
from modeld.serving.scheduling.absent import MOST_AT_ONCE, REMEMBERED
from modeld.serving.scheduling.scheduler import ModelScheduler
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.ticket import Running, Ticket
from modeld.status import EvictionReason
from modeld.testing.doubles.virtual_time import run_virtually
from tests.support.serving.desk import Desk, drained, error_of, reason_of, runs
from tests.support.serving.fakes import FakeBackend, FakeEngine, a_scheduler, an_entry
from tests.support.serving.stage import a_stage

NewDesk = Callable[..., Desk]


class Many:
    """A scheduler that sees very many models; nothing is touched but by their verbs."""

    def __init__(self, loop: asyncio.AbstractEventLoop, budget_mb: int | None) -> None:
        self.scheduler = a_scheduler(budget_mb=budget_mb)
        self.max_idle_s = 1e6
        self._loop = loop
        self._backend = FakeBackend()
        self._tickets: list[Ticket] = []
        self.now_s = 1000.0

    def entry(self, model: str) -> ModelEntry:
        known = self.scheduler.entries.get(model)
        if known is None:
            known = an_entry(self._backend, model, max_idle_s=self.max_idle_s)
            self.scheduler.entries[model] = known
        return known

    def serve(self, model: str) -> None:
        """Run one request for the model from its arrival to its end, loads and swaps included."""
        self.now_s += 1
        entry = self.entry(model)
        ticket = Ticket(self.now_s, self.new_future())
        self._tickets.append(ticket)
        self.scheduler.join(entry, ticket, self.now_s)
        decision = self.scheduler.decide(self.now_s)
        while not ticket.granted.done():
            for gone in decision.closes:
                self.scheduler.gone(gone.entry, gone.instance, self.now_s)
            for load in decision.loads:
                self.scheduler.loaded(load.entry, load.instance, FakeEngine(), self.now_s)
            decision = self.scheduler.decide(self.now_s)
        self.scheduler.leave(entry, ticket, self.now_s)
        self.scheduler.decide(self.now_s)

    def new_future(self) -> "asyncio.Future[Running]":
        return self._loop.create_future()

    def close(self) -> None:
        for ticket in self._tickets:
            ticket.abandon()


@pytest.fixture
def many() -> Iterator[Callable[[int | None], Many]]:
    loop = asyncio.new_event_loop()
    made: list[Many] = []

    def new(budget_mb: int | None) -> Many:
        made.append(Many(loop, budget_mb))
        return made[-1]

    yield new
    for each in made:
        each.close()
    loop.close()


def steps(work: Callable[[], Any]) -> int:
    """Return how many instructions of Python it takes, the same number on every machine."""
    count = 0

    def trace(frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return trace

    # From Python 3.12 on, a function's instructions are told from its second call on.
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def used(many: Many, models: int) -> ModelScheduler:
    for number in range(models):
        many.serve(f"m{number}")
    return many.scheduler


@pytest.mark.parametrize("budget_mb", [None, 300], ids=["all in memory", "three in memory"])
def test_a_request_costs_the_same_after_ten_thousand_models_as_after_ten(
    many: Callable[[int | None], Many], budget_mb: int | None
) -> None:
    few, lots = many(budget_mb), many(budget_mb)
    used(few, 10)
    used(lots, 10_000)
    lots.scheduler.check()
    for each in (few, lots):
        steps(lambda: each.serve("other"))  # noqa: B023

    costs = [
        (
            steps(lambda: each.serve("m9" if each is few else "m9999")),  # noqa: B023
            steps(lambda: each.serve("new")),  # noqa: B023
        )
        for each in (few, lots)
    ]

    for little, much in zip(*costs, strict=True):
        assert much <= 1.5 * little


def test_only_so_many_absent_models_are_remembered_and_what_they_counted_stays(
    many: Callable[[int | None], Many],
) -> None:
    each = many(100)
    loads = 0
    for number in range(3 * REMEMBERED):
        each.serve(f"m{number}")
        each.entry(f"m{number}").tally.completion_tokens += 5
        loads += 1
        assert each.scheduler.totals().loads == loads
        assert each.scheduler.totals().completion_tokens == 5 * loads
    each.scheduler.check()

    assert len(each.scheduler.entries) == REMEMBERED + 1
    assert "m0" not in each.scheduler.entries
    assert f"m{3 * REMEMBERED - 2}" in each.scheduler.entries
    each.serve("m0")
    assert each.entry("m0").loads_total == 1, "it begins anew"
    assert each.scheduler.totals().loads == loads + 1


def test_an_entry_that_was_forgotten_while_somebody_held_it_is_there_again(
    many: Callable[[int | None], Many],
) -> None:
    each = many(100)
    each.serve("m0")
    held = each.entry("m0")
    for number in range(1, REMEMBERED + 5):
        each.serve(f"m{number}")
    assert "m0" not in each.scheduler.entries
    loads = each.scheduler.totals().loads

    each.scheduler.join(held, Ticket(each.now_s, each.new_future()), each.now_s)

    assert each.entry("m0") is held
    assert each.scheduler.totals().loads == loads


def test_what_is_used_again_is_forgotten_last(many: Callable[[int | None], Many]) -> None:
    each = many(100)
    for number in range(REMEMBERED):
        each.serve(f"m{number}")
    each.serve("m0")

    for number in range(REMEMBERED, REMEMBERED + 5):
        each.serve(f"m{number}")

    assert "m0" in each.scheduler.entries
    assert "m1" not in each.scheduler.entries


def test_a_model_that_cools_down_is_pinned_or_is_waited_for_is_not_forgotten(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=100)
    failed, pinned, measured = (desk.entry(model) for model in ("failed", "pinned", "measured"))
    failed.cooldown.load_failed(desk.clock.now_s)
    pinned.pinned = True
    measured.need.begin_measuring()
    desk.decide()
    for number in range(REMEMBERED + 20):
        desk.entry(f"m{number}")
    for _ in range(20):
        desk.decide()

    assert {"failed", "pinned", "measured"} <= set(desk.scheduler.entries)
    assert len(desk.scheduler.entries) == REMEMBERED + 2
    desk.clock.now_s += 100
    desk.entry("one more")
    desk.decide()
    assert len(desk.scheduler.entries) == REMEMBERED + 2


def test_no_decision_forgets_more_than_a_few(new_desk: NewDesk) -> None:
    desk = new_desk()
    for number in range(REMEMBERED + 100):
        desk.entry(f"m{number}")

    desk.decide()

    assert len(desk.scheduler.entries) == REMEMBERED + 100 - MOST_AT_ONCE


def test_a_model_that_vanished_ends_what_runs_and_tells_those_who_wait(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a, running = desk.busy("a")
    a.pinned = True
    waiting = desk.request(a)
    error = ModelNotFoundError("gone")

    desk.scheduler.vanish(a, error)
    desk.decide()

    assert runs(running)
    assert error_of(waiting) is error
    assert drained(a) == ["a"]
    assert not a.pinned
    assert reason_of(a) is EvictionReason.FILE_REMOVED
    assert desk.leave(a, running).closes == [a]


@pytest.mark.parametrize("result", [None, 50, RuntimeError("its worker was killed")])
def test_a_model_is_forgotten_that_is_measured_when_nobody_waits_any_more(
    monkeypatch: pytest.MonkeyPatch, result: int | Exception | None
) -> None:
    monkeypatch.setattr(absent, "REMEMBERED", 0)

    async def main() -> None:
        async with a_stage(budget_mb=110) as stage:
            entry = stage.entry("a", measurable=True)
            client = await stage.client(entry)
            await client.give_up()
            assert "a" in stage.scheduler.entries

            await stage.end_measurement("a", result)

            assert "a" not in stage.scheduler.entries

    run_virtually(main())


def test_a_model_is_forgotten_that_is_only_ever_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absent, "REMEMBERED", 0)

    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            client = await stage.client(stage.entry("large", 500))

            assert await client.outcome() == "model_exceeds_budget"
            assert "large" not in stage.scheduler.entries

    run_virtually(main())
