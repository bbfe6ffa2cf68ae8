# SPDX-License-Identifier: GPL-3.0-only
"""How long the requests of a loaded model may overtake those of one that waits for memory."""

import math
from collections.abc import Callable

import pytest

from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.ticket import Ticket
from modeld.status import EvictionReason, InstanceState
from tests.support.serving.desk import Desk, drained, instance_of, reason_of, runs, state_of

NewDesk = Callable[..., Desk]


def next_one(desk: Desk, entry: ModelEntry, ticket: Ticket) -> Ticket:
    """Have a model's next request arrive, then the running one end."""
    following = desk.request(entry)
    desk.leave(entry, ticket)
    return following


def test_later_requests_of_a_loaded_model_overtake_a_waiting_model_for_a_while(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, running = desk.busy("a")
    b = desk.entry("b")
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
    b = desk.entry("b")
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


def test_a_term_begins_with_the_first_request_served_while_another_model_waits(
    new_desk: NewDesk,
) -> None:
    """Whenever that request came: memory is shared by time, not by the age of requests."""
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, running = desk.busy("a")
    earlier = desk.request(a)
    b = desk.entry("b")
    desk.request(b)
    desk.decide(after_s=50)
    assert b.overtaken_since_s is None, "nothing new is served"

    desk.leave(a, running)

    assert runs(earlier)
    assert b.overtaken_since_s == desk.clock.now_s
    desk.decide(after_s=9.9)
    assert drained(a) == []
    desk.decide(after_s=0.1)
    assert drained(a) == ["a"]


@pytest.mark.parametrize(("waiting", "term_s"), [(1, 10.0), (2, 5.0), (5, 2.0)])
def test_the_more_models_wait_the_shorter_is_a_term(
    new_desk: NewDesk, waiting: int, term_s: float
) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, running = desk.busy("a")
    for number in range(waiting):
        desk.request(desk.entry(f"w{number}"))
    running = next_one(desk, a, running)

    desk.decide(after_s=term_s - 0.1)
    assert drained(a) == []
    desk.decide(after_s=0.1)

    assert drained(a) == ["a"]
    assert runs(running)


def test_a_model_that_had_its_term_stands_behind_all_that_have_not_had_theirs(
    new_desk: NewDesk,
) -> None:
    """Although its requests are older."""
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, running = desk.busy("a")
    for _ in range(5):
        desk.request(a)
    b, c = desk.entry("b"), desk.entry("c")
    desk.request(b)
    desk.request(c)
    desk.leave(a, running)
    desk.decide(after_s=5)
    assert drained(a) == ["a"]
    (second,) = a.queue.running
    desk.leave(a, second)
    assert desk.gone(a).loads == [b]
    assert a.queue.oldest_s < c.queue.oldest_s
    desk.loaded(b)
    (of_b,) = b.queue.running
    desk.leave(b, of_b)

    assert desk.gone(b).loads == [c]


def test_a_term_begins_anew_with_each_life_and_each_contention(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, running = desk.busy("a")
    b = desk.entry("b")
    gives_up = desk.request(b)
    running = next_one(desk, a, running)
    desk.decide(after_s=9)
    desk.leave(b, gives_up)
    desk.request(b)

    running = next_one(desk, a, running)
    desk.decide(after_s=9)
    assert drained(a) == []
    desk.decide(after_s=1)

    assert drained(a) == ["a"]


def test_a_load_by_name_overtakes_nobody(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, _running = desk.busy("a")
    b = desk.entry("b")
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
    b = desk.entry("b")
    desk.request(b)
    running = next_one(desk, a, running)
    first_s = b.overtaken_since_s

    desk.clock.now_s += 5
    next_one(desk, a, running)

    assert b.overtaken_since_s == first_s


def test_the_while_begins_anew_with_each_load(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, running = desk.busy("a")
    b = desk.entry("b")
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
    b = desk.entry("b")
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
    b = desk.entry("b")
    desk.request(b)

    desk.decide(after_s=1000)
    assert drained(a) == []
    desk.leave(a, running)
    assert drained(a) == ["a"]


def test_overdue_models_take_idle_ones_first(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200, max_overtake_s=10)
    a, running = desk.busy("a")
    b = desk.entry("b")
    other, other_running = desk.busy("other")
    desk.request(b)
    running = next_one(desk, a, running)
    desk.clock.now_s += 20
    desk.leave(other, other_running)

    assert drained(a, other) == ["other"]


def test_minimum_residence_protects_from_an_overdue_model_too(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=2, min_residence_s=30)
    a = desk.resident("a")
    b = desk.entry("b")
    desk.request(b)
    running = desk.request(a)
    desk.leave(a, running)

    desk.decide(after_s=29.9)
    assert drained(a) == []
    desk.decide(after_s=0.1)

    assert drained(a) == ["a"]


def test_an_overdue_model_keeps_what_is_free_until_there_is_enough(new_desk: NewDesk) -> None:
    """Small loads may not nibble at it for ever while a load stands in its way."""
    desk = new_desk(budget_mb=300, max_overtake_s=10)
    a, running = desk.busy("a")
    loads = desk.entry("loads")
    big, small = desk.entry("big", 300), desk.entry("small", 100)
    desk.request(loads)
    desk.request(big)
    next_one(desk, a, running)
    desk.decide(after_s=10)
    assert drained(a) == [], "while the other one loads, all that is ready is not enough"

    desk.arrive(small)

    assert desk.decide().loads == []
    desk.loaded(loads)
    assert drained(a, loads) == [], "what was loaded just now has its term"
    desk.decide(after_s=10)
    assert drained(a, loads) == ["a", "loads"]


def test_what_a_big_model_is_next_for_is_not_taken_by_small_ones(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200, max_overtake_s=10)
    a, running = desk.busy("a")
    idle = desk.resident("idle")
    running = next_one(desk, a, running)
    big, small = desk.entry("big", 200), desk.entry("small", 100)
    desk.request(big)
    running = next_one(desk, a, running)
    assert desk.decide(after_s=11).closes == [idle]
    assert drained(a, idle) == ["a", "idle"]

    desk.request(small)

    assert desk.gone(idle).loads == []
    desk.leave(a, running)
    assert desk.gone(a).loads == [big]


def test_a_drained_model_is_no_longer_a_candidate(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=0)
    a, running = desk.busy("a")
    b = desk.entry("b")
    desk.request(b)
    next_one(desk, a, running)
    desk.decide()
    assert reason_of(a) is EvictionReason.MAKE_ROOM
    c = desk.entry("c")
    desk.request(c)

    desk.decide(after_s=100)

    assert b.victims == {instance_of(a)}
    assert c.victims == set()


def test_who_was_loaded_fewer_times_is_next_whoever_has_waited_longer(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, min_residence_s=0)
    a, b, c = desk.resident("a"), desk.entry("b"), desk.entry("c")
    served = desk.request(b)
    desk.request(a)
    assert desk.gone(a).loads == [b]
    desk.clock.now_s += 5
    desk.request(c)
    desk.loaded(b)
    assert runs(served)
    desk.leave(b, served)

    assert a.waits_since_s < c.waits_since_s
    assert desk.gone(b).loads == [c], "a was loaded before it"


def test_who_has_done_nothing_for_long_has_saved_no_loads_up(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    busy, newcomer = desk.entry("busy"), desk.entry("newcomer")
    for _ in range(5):
        desk.arrive(busy, needs_slot=False)
        desk.decide()
        desk.loaded(busy)
        desk.unload(busy)
        desk.gone(busy)

    desk.request(busy)
    desk.request(newcomer)

    assert newcomer.start_tag == busy.start_tag - 1, "one load ahead, and not five"
