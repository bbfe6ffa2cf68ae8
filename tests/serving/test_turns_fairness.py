# SPDX-License-Identifier: GPL-3.0-only
"""How long the requests of a loaded model may overtake those of one that waits for memory."""

import math
from collections.abc import Callable

import pytest

from modeld.serving.admission import Ticket
from modeld.serving.instance import Place
from modeld.values import EvictionReason, InstanceState
from tests.serving.desk import Desk, drained, runs, state_of

NewDesk = Callable[..., Desk]


def next_one(desk: Desk, place: Place, ticket: Ticket) -> Ticket:
    """A model's next request arrives, then the running one ends."""
    following = desk.request(place)
    desk.leave(place, ticket)
    return following


def test_later_requests_of_a_loaded_model_overtake_a_waiting_model_for_a_while(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, running = desk.busy("a")
    b = desk.place("b")
    desk.request(b)

    running = next_one(desk, a, running)
    assert runs(running)
    assert b.overtaken_since_s == desk.clock.now_s

    desk.clock.now_s += 9.9
    running = next_one(desk, a, running)
    assert runs(running)
    assert drained(a) == []


def test_when_the_while_is_over_the_loaded_model_takes_no_more_requests_and_finishes(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, running = desk.busy("a")
    b = desk.place("b")
    waiting = desk.request(b)
    running = next_one(desk, a, running)
    decision = desk.decide()
    assert b.overtaken_since_s is not None
    assert decision.wake_s == pytest.approx(b.overtaken_since_s + 10)

    desk.clock.now_s = decision.wake_s
    decision = desk.decide()

    assert drained(a) == ["a"]
    assert decision.closes == [], "what runs is not cut"
    late = desk.request(a)
    assert desk.leave(a, running).closes == [a]
    assert not runs(late)
    assert desk.gone(a).loads == [b]
    desk.loaded(b)
    assert runs(waiting)


def test_a_request_that_came_first_is_no_overtaker(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, running = desk.busy("a")
    earlier = desk.request(a)
    b = desk.place("b")
    desk.request(b)

    desk.leave(a, running)

    assert runs(earlier)
    assert b.overtaken_since_s is None


def test_a_load_by_name_overtakes_nobody(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, _running = desk.busy("a")
    b = desk.place("b")
    desk.request(b)

    load = desk.arrive(a, needs_slot=False)
    desk.decide()

    assert runs(load)
    assert b.overtaken_since_s is None


def test_the_while_counts_from_the_first_overtaking_and_not_from_the_last(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, running = desk.busy("a")
    b = desk.place("b")
    desk.request(b)
    running = next_one(desk, a, running)
    first_s = b.overtaken_since_s

    desk.clock.now_s += 5
    next_one(desk, a, running)

    assert b.overtaken_since_s == first_s


def test_the_while_begins_anew_with_each_load(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, running = desk.busy("a")
    b = desk.place("b")
    request = desk.request(b)
    running = next_one(desk, a, running)
    desk.decide(after_s=10)
    desk.leave(a, running)
    desk.gone(a)

    assert state_of(b) is InstanceState.LOADING
    assert b.overtaken_since_s is None
    desk.loaded(b)
    assert runs(request)


def test_the_while_ends_when_nobody_waits_any_more(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, running = desk.busy("a")
    b = desk.place("b")
    gives_up = desk.request(b)
    running = next_one(desk, a, running)

    decision = desk.leave(b, gives_up)

    assert b.overtaken_since_s is None
    assert decision.wake_s == math.inf
    desk.decide(after_s=100)
    assert drained(a) == []


def test_a_model_that_waits_for_nobody_in_particular_does_not_send_busy_ones_away(
    new_desk: NewDesk,
) -> None:
    """Nobody has overtaken it: the model in its way is only slow, and is let finish."""
    desk = new_desk(budget_mb=100, max_overtake_s=0)
    a, running = desk.busy("a")
    b = desk.place("b")
    desk.request(b)

    desk.decide(after_s=1000)
    assert drained(a) == []
    desk.leave(a, running)
    assert drained(a) == ["a"]


def test_overdue_models_take_idle_ones_first(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200, max_overtake_s=10)
    a, running = desk.busy("a")
    b = desk.place("b")
    other, other_running = desk.busy("other")
    desk.request(b)
    running = next_one(desk, a, running)
    desk.clock.now_s += 20
    desk.leave(other, other_running)

    assert drained(a, other) == ["other"]


def test_minimum_residence_protects_nobody_from_an_overdue_model(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=2, min_residence_s=1000)
    a = desk.resident("a")
    b = desk.place("b")
    desk.request(b)
    running = desk.request(a)
    desk.leave(a, running)
    assert drained(a) == []

    desk.decide(after_s=2)

    assert drained(a) == ["a"]


def test_an_overdue_model_keeps_what_is_free_until_there_is_enough(new_desk: NewDesk) -> None:
    """Small loads may not nibble at it for ever while a load stands in its way."""
    desk = new_desk(budget_mb=300, max_overtake_s=10)
    a, running = desk.busy("a")
    loads = desk.place("loads")
    big, small = desk.place("big", 300), desk.place("small", 100)
    desk.request(loads)
    desk.request(big)
    next_one(desk, a, running)
    desk.decide(after_s=10)
    assert drained(a) == [], "while the other one loads, all that is ready is not enough"

    desk.arrive(small)

    assert desk.decide().loads == []
    desk.loaded(loads)
    assert drained(a, loads) == ["a", "loads"]


def test_a_drained_model_is_no_longer_a_candidate(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=0)
    a, running = desk.busy("a")
    b = desk.place("b")
    desk.request(b)
    next_one(desk, a, running)
    desk.decide()
    assert a.instance is not None
    assert a.instance.drain_reason is EvictionReason.MAKE_ROOM
    c = desk.place("c")
    desk.request(c)

    desk.decide(after_s=100)

    assert b.victims == {a.instance}
    assert c.victims == set()
