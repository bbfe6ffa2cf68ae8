# SPDX-License-Identifier: GPL-3.0-only
"""A model of higher priority gets memory sooner and leaves it later, and nobody is left out."""

import asyncio
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Loading
from modeld.serving.state.ticket import Ticket
from tests.support.serving.desk import Desk, is_closing, runs
from tests.support.serving.fakes import FakeEngine

pytestmark = pytest.mark.usefixtures("unmeasured")

NewDesk = Callable[..., Desk]


def test_of_two_that_wait_for_memory_the_one_of_higher_priority_is_loaded_first(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=100)
    here, running = desk.busy("here")
    low, high = desk.entry("low"), desk.entry("high", priority=1)
    desk.request(low)
    desk.request(high)
    desk.leave(here, running)
    assert is_closing(here)
    assert desk.gone(here).loads == [high]


def test_a_model_of_lower_priority_leaves_first_even_if_it_was_used_last(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=200)
    high, low = desk.resident("high", priority=1), desk.resident("low")
    desk.leave(low, desk.request(low))
    desk.request(desk.entry("newcomer"))
    assert is_closing(low)
    assert high.is_idle


def test_an_idle_model_of_higher_priority_makes_room_where_no_other_can(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=100)
    high = desk.resident("high", priority=100)
    desk.request(desk.entry("low", priority=-100))
    assert is_closing(high)


def test_a_model_of_lower_priority_stays_where_its_leaving_would_not_help(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=150)
    low, high = desk.resident("low", 50), desk.resident("high", priority=1)
    desk.request(desk.entry("newcomer"))
    assert is_closing(high)
    assert low.is_idle


def test_other_programs_take_the_memory_of_the_lowest_priority_first(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300, moves=True)
    high = desk.resident("high", priority=2)
    low, middle = desk.resident("low", priority=-1), desk.resident("middle")
    desk.leave(low, desk.request(low))
    desk.limit(150)
    assert is_closing(low)
    assert is_closing(middle)
    assert high.is_idle


def test_who_was_overtaken_for_long_enough_goes_before_a_higher_priority(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10.0)
    here, running = desk.busy("here")
    low, high = desk.entry("low"), desk.entry("high", priority=5)
    desk.request(low)
    desk.request(high)
    low.overtaken_since_s = desk.clock.now_s - 10.0
    desk.decide()
    desk.leave(here, running)
    assert desk.gone(here).loads == [low]


def test_the_moment_in_which_the_order_changes_is_waited_for(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10.0)
    desk.busy("here")
    low, high = desk.entry("low"), desk.entry("high", priority=5)
    desk.request(high)
    desk.request(low)
    low.overtaken_since_s = desk.clock.now_s - 4.0
    assert desk.decide().wake_s == low.overtaken_since_s + 10.0


class Contest:
    """Models of any priorities that all have work all the time, in memory for one of them."""

    def __init__(self, desk: Desk, priorities: list[int]) -> None:
        self.desk = desk
        self.entries = [
            desk.entry(f"m{number}", priority=priority)
            for number, priority in enumerate(priorities)
        ]
        self.waits_s: dict[str, float] = {}
        self.loads: list[str] = []

    def play(self, seconds: int, chance: random.Random) -> None:
        for entry in self.entries:
            self.ask(entry)
        for _ in range(seconds):
            self.desk.decide(after_s=1.0)
            for entry in self.entries:
                self.serve(entry, chance)

    def ask(self, entry: ModelEntry) -> None:
        if len(entry.queue.waiting) < 2:
            self.desk.request(entry)

    def serve(self, entry: ModelEntry, chance: random.Random) -> None:
        """End what loads, runs or closes, and let another request come in its place."""
        desk = self.desk
        for instance in list(entry.instances):
            if is_closing(entry):
                desk.gone(entry)
            elif isinstance(instance.phase, Loading):
                self.load(entry)
        for ticket in list(entry.queue.running):
            self.note(entry, ticket)
            if chance.random() < 0.7:
                self.ask(entry)
                desk.leave(entry, ticket)
        if is_closing(entry):
            desk.gone(entry)
        self.ask(entry)

    def load(self, entry: ModelEntry) -> None:
        self.loads.append(entry.spec.id)
        self.desk.scheduler.loaded(entry, entry.instances[0], FakeEngine(), self.desk.clock.now_s)
        self.desk.decide()

    def note(self, entry: ModelEntry, ticket: Ticket) -> None:
        assert runs(ticket)
        wait_s = self.desk.clock.now_s - ticket.arrived_s
        self.waits_s[entry.spec.id] = max(wait_s, self.waits_s.get(entry.spec.id, 0.0))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-100, 100), min_size=2, max_size=5),
    st.integers(0, 2**32),
)
def test_nobody_starves_whatever_the_priorities_are(priorities: list[int], seed: int) -> None:
    loop = asyncio.new_event_loop()
    desk = Desk(loop, budget_mb=100, max_overtake_s=10.0)
    try:
        contest = Contest(desk, priorities)
        contest.play(200, random.Random(seed))
        assert contest.waits_s.keys() == {entry.spec.id for entry in contest.entries}
        # Overtaken for as long as one may be, then a place among the highest, each with its term
        # and what it works on as that ends.
        bound_s = 10.0 + len(priorities) * 20.0
        assert max(contest.waits_s.values()) <= bound_s
    finally:
        desk.close()
        loop.close()
