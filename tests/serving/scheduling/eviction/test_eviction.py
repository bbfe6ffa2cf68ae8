# SPDX-License-Identifier: GPL-3.0-only
"""Who makes room for whom, and that no byte is counted on twice."""

from collections.abc import Callable

import pytest

from modeld.errors import BudgetExceededError
from modeld.serving.state.cooldown import FIRST_S
from modeld.status import EvictionReason, InstanceState
from tests.support.serving.desk import (
    Desk,
    drained,
    instance_of,
    reason_of,
    residence_of,
    runs,
    state_of,
)
from tests.support.serving.fakes import MIB

NewDesk = Callable[..., Desk]


def test_an_idle_model_makes_room_and_the_load_waits_until_its_bytes_are_free(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=100)
    a = desk.resident("a")
    b = desk.entry("b")
    desk.arrive(b)

    decision = desk.decide()

    assert decision.closes == [a]
    assert decision.loads == []
    assert reason_of(a) is EvictionReason.MAKE_ROOM
    assert desk.scheduler.ledger.held_bytes == 100 * MIB, "it is still there"
    assert desk.gone(a).loads == [b]


def test_nobody_is_evicted_while_there_is_room(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200)
    desk.resident("a")
    b = desk.entry("b")
    desk.arrive(b)

    decision = desk.decide()

    assert decision.loads == [b]
    assert decision.closes == []


def test_no_more_models_go_than_are_needed_and_the_policy_says_which(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300)
    oldest, middle, newest = (desk.resident(model) for model in ("x", "y", "z"))
    desk.clock.now_s += 1
    desk.leave(oldest, desk.request(oldest))

    desk.request(desk.entry("b"))

    assert drained(oldest, middle, newest) == ["y"]


def test_the_free_bytes_count_towards_what_is_needed(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300)
    desk.resident("a")
    desk.resident("b")

    desk.request(desk.entry("c", 200))

    assert drained(*desk.scheduler.entries.values()) == ["a"]


def test_a_model_with_a_running_request_is_never_a_victim(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a, running = desk.busy("a")
    b = desk.entry("b")
    desk.request(b)

    for _ in range(5):
        decision = desk.decide(after_s=100)
        assert decision.closes == []
        assert state_of(a) is InstanceState.READY
    desk.leave(a, running)
    assert drained(a) == ["a"]


def test_a_model_with_a_waiting_request_is_no_victim_before_it_is_overdue(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=100, max_overtake_s=10)
    a, running = desk.busy("a")
    waiting = desk.request(a)
    desk.request(desk.entry("b"))

    desk.leave(a, running)

    assert runs(waiting), "who came first goes first"
    assert drained(a) == []


def test_a_model_that_loads_is_never_a_victim(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a, b = desk.entry("a"), desk.entry("b")
    ticket = desk.request(a)
    desk.leave(a, ticket)

    desk.request(b)

    assert desk.decide(after_s=1000).closes == []
    assert state_of(a) is InstanceState.LOADING


def test_a_model_whose_load_nobody_waits_for_any_more_makes_room_once_it_is_loaded(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=100)
    a, b = desk.entry("a"), desk.entry("b")
    desk.leave(a, desk.request(a))
    desk.request(b)

    assert desk.loaded(a).closes == [a]


def test_a_model_stays_for_its_minimum_residence_although_idle(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, min_residence_s=5)
    a = desk.resident("a")
    b = desk.entry("b")
    desk.arrive(b)

    decision = desk.decide()

    assert decision.closes == []
    assert decision.wake_s == pytest.approx(residence_of(a).ready_s + 5)
    desk.clock.now_s = decision.wake_s - 0.01
    assert desk.decide().closes == []
    desk.clock.now_s = decision.wake_s
    assert desk.decide().closes == [a]


def test_a_model_past_its_minimum_residence_goes_before_one_within_it(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200, min_residence_s=5)
    old = desk.resident("old")
    desk.clock.now_s += 5
    young = desk.resident("young")
    desk.leave(old, desk.request(old))

    desk.request(desk.entry("b"))

    assert drained(old, young) == ["old"], "although it was used last"


def test_two_loads_never_count_on_the_same_victim(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200)
    a, b = desk.resident("a"), desk.resident("b")
    c, d = desk.entry("c"), desk.entry("d")

    desk.request(c)
    assert drained(a, b) == ["a"]
    desk.request(d)

    assert drained(a, b) == ["a", "b"]
    assert len(c.victims) == len(d.victims) == 1
    assert c.victims.isdisjoint(d.victims)


def test_two_loads_never_count_on_the_same_free_bytes(new_desk: NewDesk) -> None:
    """The older one needs the free bytes and a victim's; the younger one may not take them."""
    desk = new_desk(budget_mb=250)
    victim = desk.resident("victim", 150)
    older, younger = desk.entry("older", 250), desk.entry("younger", 100)
    desk.arrive(older)
    desk.arrive(younger)

    decision = desk.decide()

    assert decision.closes == [victim]
    assert decision.loads == []
    assert desk.gone(victim).loads == [older]


def test_free_bytes_that_the_older_load_does_not_need_are_given_to_the_younger(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=300)
    victim = desk.resident("victim", 150)
    older, younger = desk.entry("older", 250), desk.entry("younger", 50)
    desk.arrive(older)
    desk.arrive(younger)

    decision = desk.decide()

    assert decision.closes == [victim]
    assert decision.loads == [younger]
    assert desk.gone(victim).loads == [older]


def test_the_bytes_of_a_victim_that_is_gone_are_kept_for_its_owner(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200)
    first, second = desk.resident("first"), desk.resident("second")
    older, younger = desk.entry("older", 200), desk.entry("younger", 100)
    desk.arrive(older)
    desk.arrive(younger)
    desk.decide()
    assert drained(first, second) == ["first", "second"]

    assert desk.gone(first).loads == [], "the younger one would take what the older one waits for"
    assert desk.gone(second).loads == [older]


def test_what_was_evicted_for_a_model_is_given_to_no_older_request(new_desk: NewDesk) -> None:
    """The older one was cooling down when the victim was chosen for the younger one."""
    desk = new_desk(budget_mb=100)
    victim = desk.resident("victim")
    older, younger = desk.entry("older"), desk.entry("younger")
    desk.arrive(older)
    older.cooldown.load_failed(desk.clock.now_s)
    desk.arrive(younger)
    assert desk.decide().closes == [victim]
    assert younger.victims == {instance_of(victim)}

    desk.clock.now_s += FIRST_S

    assert desk.gone(victim).loads == [younger]


@pytest.mark.parametrize("ending", ["loaded", "given up"])
def test_a_claim_ends_with_the_load_or_the_wait_that_it_was_for(
    new_desk: NewDesk, ending: str
) -> None:
    desk = new_desk(budget_mb=100)
    victim = desk.resident("victim")
    once_first, older = desk.entry("once first"), desk.entry("older")
    request = desk.request(once_first)
    assert drained(victim) == ["victim"]
    if ending == "given up":
        desk.leave(once_first, request)
        desk.gone(victim)
        in_the_way, running = desk.busy("in the way")
    else:
        desk.gone(victim)
        desk.loaded(once_first)
        in_the_way, running = once_first, request

    desk.unload(in_the_way)
    desk.request(older)
    desk.request(once_first)
    desk.leave(in_the_way, running)

    assert desk.gone(in_the_way).loads == [older]


def test_a_victim_that_is_gone_is_counted_on_no_longer(new_desk: NewDesk) -> None:
    """The victim's bytes went to a waiter that left, so another victim must be found."""
    desk = new_desk(budget_mb=200)
    first, second = desk.resident("first"), desk.resident("second")
    b = desk.entry("b", 200)
    desk.request(b)
    desk.gone(first)
    assert b.victims == {instance_of(second)}
    desk.gone(second)
    assert b.victims == set()
    assert state_of(b) is InstanceState.LOADING


def test_a_model_that_leaves_anyway_is_counted_on_before_others_are_sent_away(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=200)
    leaving, staying = desk.resident("leaving"), desk.resident("staying")
    desk.unload(leaving)

    desk.request(desk.entry("b"))

    assert drained(leaving, staying) == ["leaving"]
    assert desk.gone(leaving).loads != []


def test_no_more_models_that_leave_anyway_are_counted_on_than_are_needed(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=200)
    x, y = desk.resident("x"), desk.resident("y")
    desk.unload(x)
    desk.unload(y)
    b, c = desk.entry("b"), desk.entry("c")

    desk.request(b)
    desk.request(c)

    assert len(b.victims) == len(c.victims) == 1


def test_a_drained_model_never_comes_back_and_its_requests_wait_for_the_next_instance(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=200)
    a, running = desk.busy("a")
    first_life = instance_of(a)
    desk.unload(a)

    late = desk.request(a)
    assert not runs(late)
    assert instance_of(a) is first_life
    assert state_of(a) is InstanceState.DRAINING
    assert desk.leave(a, running).closes == [a]
    assert not runs(late)

    assert desk.gone(a).loads == [a]
    assert instance_of(a) is not first_life
    desk.loaded(a)
    assert runs(late)


def test_the_first_reason_to_leave_stays(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a = desk.resident("a")
    desk.unload(a)
    desk.request(desk.entry("b"))

    instance_of(a).leave(EvictionReason.FILE_CHANGED, a.queue.running)

    assert reason_of(a) is EvictionReason.UNLOAD_REQUESTED


def test_a_model_is_closed_once(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a = desk.resident("a")

    assert desk.unload(a).closes == [a]
    assert desk.decide().closes == []


def test_a_model_that_was_unloaded_while_it_loaded_is_closed_when_the_load_ends(
    new_desk: NewDesk,
) -> None:
    desk = new_desk()
    a = desk.entry("a")
    ticket = desk.request(a)
    assert desk.unload(a).closes == [], "there is nothing to close yet"

    assert desk.loaded(a).closes == [a]
    assert not runs(ticket)
    assert desk.gone(a).loads == [a], "who waits still wants the model"


def test_who_gives_up_owns_no_victims_and_the_next_may_count_on_them(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200)
    a, b = desk.resident("a"), desk.resident("b")
    c, d = desk.entry("c"), desk.entry("d")
    desk.leave(c, desk.request(c))
    assert drained(a, b) == ["a"], "what was sent away goes all the same"
    assert c.victims == set()

    desk.request(d)

    assert drained(a, b) == ["a"]


def test_a_victim_that_was_not_needed_after_all_is_left_for_the_next_to_count_on(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=300)
    victim, other, staying = (desk.resident(model) for model in ("x", "y", "z"))
    b, c = desk.entry("b"), desk.entry("c")
    desk.request(b)
    assert drained(victim, other, staying) == ["x"]
    desk.unload(other)
    assert desk.gone(other).loads == [b]

    desk.request(c)

    assert drained(staying) == []
    assert c.victims == {instance_of(victim)}


def test_making_room_for_one_model_holds_no_other_up(new_desk: NewDesk) -> None:
    """The big one waits for a busy model; the small one fits beside it and goes ahead."""
    desk = new_desk(budget_mb=200)
    desk.busy("a")
    big, small = desk.entry("big", 200), desk.entry("small", 100)
    desk.request(big)
    desk.arrive(small)

    assert desk.decide().loads == [small]


def test_a_pinned_model_is_no_victim_and_the_others_go(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200)
    pinned, other = desk.resident("a"), desk.resident("b")
    pinned.pinned = True

    desk.request(desk.entry("c"))

    assert drained(pinned, other) == ["b"]


def test_a_pinned_model_stays_when_a_request_is_overdue(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200, max_overtake_s=5)
    pinned, other = desk.resident("a"), desk.resident("b", slots=2)
    pinned.pinned = True
    desk.request(pinned)
    desk.request(other)
    desk.request(desk.entry("c"))
    desk.clock.now_s += 1
    assert runs(desk.request(other)), "it overtakes"

    desk.decide(after_s=60)

    assert drained(pinned, other) == ["b"]


def test_a_model_that_does_not_fit_beside_the_pinned_ones_is_refused_with_the_numbers(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=250)
    desk.resident("a").pinned = True
    big = desk.entry("big", size_mb=200)

    ticket = desk.arrive(big)
    desk.decide()

    error = ticket.granted.exception()
    assert isinstance(error, BudgetExceededError)
    assert "needs 200 MiB, and the pinned models hold 100 MiB" in error.message


def test_an_unpinned_model_makes_room_again(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a = desk.resident("a")
    a.pinned = True
    a.pinned = False

    desk.request(desk.entry("b"))

    assert drained(a) == ["a"]


def test_a_later_claim_does_not_take_the_free_bytes_that_an_earlier_one_counts_on(
    new_desk: NewDesk,
) -> None:
    """The one that waits longer was being measured when the other claimed its victim."""
    desk = new_desk(budget_mb=260)
    victim, big = desk.resident("victim", 60), desk.resident("big", 150)
    working = desk.request(big)
    longest, other = desk.entry("longest", 300, measurable=True), desk.entry("other", 100)
    longest.need.begin_measuring()
    desk.request(longest)
    desk.request(other)
    desk.leave(big, working)
    assert drained(victim, big) == ["victim"]

    longest.need.settle(50 * MIB)
    desk.decide()

    assert drained(victim, big) == ["victim", "big"]
    assert desk.decide().loads == []
    assert desk.gone(victim).loads == [other]
    assert desk.gone(big).loads == [longest]
