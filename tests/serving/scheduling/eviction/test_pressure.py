# SPDX-License-Identifier: GPL-3.0-only
"""Other programs take memory: idle models go, busy ones stay, and nobody is loaded over it."""

from collections.abc import Callable

import pytest

from modeld.errors import BudgetExceededError, ModelExceedsBudgetError
from modeld.serving.state.moving_limit import RISE_S
from modeld.status import EvictionReason, InstanceState
from tests.support.serving.desk import (
    Desk,
    drained,
    error_of,
    instance_of,
    owner_of,
    reason_of,
    runs,
    state_of,
)

NewDesk = Callable[..., Desk]

PRESSURE = EvictionReason.MEMORY_PRESSURE


def test_an_idle_model_goes_when_the_limit_falls_below_what_is_held(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300, moves=True, min_residence_s=60)
    old, new = desk.resident("old"), desk.resident("new")

    assert desk.limit(199).closes == [old]

    assert reason_of(old) is PRESSURE
    assert state_of(new) is InstanceState.READY
    assert desk.decide().closes == []
    desk.gone(old)
    assert desk.scheduler.ledger.main.free_bytes > 0


def test_a_limit_that_what_is_held_keeps_to_sends_nobody_away(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300, moves=True)
    desk.resident("a")
    desk.resident("b")

    assert desk.limit(200).closes == []


def test_where_all_idle_models_are_too_little_they_all_go(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300, moves=True)
    busy, running = desk.busy("busy")
    a, b = desk.resident("a"), desk.resident("b")

    assert desk.limit(0).closes == [a, b]

    assert runs(running)
    assert state_of(busy) is InstanceState.READY


def test_a_busy_model_goes_as_soon_as_it_is_idle(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, moves=True)
    a, running = desk.busy("a")
    waiting = desk.request(a)
    assert desk.limit(50).closes == []

    desk.leave(a, running)
    assert runs(waiting), "what waits for it is served first"

    assert desk.leave(a, waiting).closes == [a]
    assert reason_of(a) is PRESSURE


def test_a_busy_model_stays_if_the_memory_is_back_before_it_is_idle(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, moves=True)
    a, running = desk.busy("a")
    desk.limit(50)
    desk.limit(100)

    assert desk.leave(a, running).closes == []


def test_a_pinned_model_stays(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, moves=True)
    a = desk.resident("a")
    a.pinned = True
    desk.decide()

    assert desk.limit(0).closes == []


def test_a_load_under_way_keeps_its_bytes_and_serves_who_waits(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, moves=True)
    a = desk.entry("a")
    ticket = desk.request(a)

    desk.limit(50)
    assert state_of(a) is InstanceState.LOADING
    desk.loaded(a, held_mb=100)

    assert runs(ticket)
    assert desk.leave(a, ticket).closes == [a]


def test_what_leaves_anyway_counts_before_others_go(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200, moves=True)
    a, b = desk.resident("a"), desk.resident("b")
    desk.unload(a)

    desk.limit(100)

    assert drained(a, b) == ["a"]


def test_what_goes_for_others_is_not_taken_back(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, moves=True)
    a = desk.resident("a")
    desk.limit(50)

    assert desk.limit(100).loads == []
    ticket = desk.request(a)

    assert not runs(ticket)
    assert desk.gone(a).loads == [a], "it is loaded anew"


def test_what_goes_for_others_counts_for_who_waits(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200, moves=True)
    busy, _running = desk.busy("busy")
    idle = desk.resident("idle")
    wanted = desk.entry("wanted", 150)
    desk.request(wanted)
    desk.limit(199)

    assert reason_of(idle) is PRESSURE
    assert owner_of(idle) == "wanted"
    assert state_of(busy) is InstanceState.READY


def test_what_is_given_back_by_one_who_is_refused_goes_if_it_is_still_too_much(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=200, moves=True)
    busy = desk.resident("busy", slots=2)
    running = desk.request(busy)
    desk.request(desk.entry("wanted", 150))
    desk.leave(busy, desk.request(busy))
    desk.decide(after_s=10)
    assert reason_of(busy) is EvictionReason.MAKE_ROOM
    desk.scheduler.leave(busy, running, desk.clock.now_s)

    assert desk.limit(90).closes == [busy]

    assert reason_of(busy) is PRESSURE


def test_a_model_that_does_not_fit_beside_the_pinned_ones_now_is_refused(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=200, moves=True)
    pinned = desk.resident("pinned")
    pinned.pinned = True
    desk.decide()
    desk.limit(150)

    error = error_of(desk.request(desk.entry("other", 80)))

    assert isinstance(error, BudgetExceededError)
    assert "needs 80 MiB, beside 100 MiB of pinned models" in error.message


def test_a_load_waits_for_all_that_is_over_the_limit_too(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300, moves=True)
    busy, running = desk.busy("busy", 200)
    desk.limit(150)
    ticket = desk.request(desk.entry("next"))
    assert not runs(ticket)

    assert desk.leave(busy, running).closes == [busy]
    (loaded,) = desk.gone(busy).loads

    assert loaded.spec.id == "next"


def test_two_loads_do_not_both_make_up_for_what_is_over_the_limit(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=400, moves=True)
    (a, one), (b, two), (c, three) = desk.busy("a"), desk.busy("b"), desk.busy("c")
    d = desk.resident("d")
    desk.limit(350)
    assert reason_of(d) is PRESSURE
    x, y = desk.entry("x"), desk.entry("y")
    desk.request(x)
    desk.request(y)

    desk.leave(a, one)
    desk.leave(b, two)

    assert drained(a, b, c) == ["a", "b"], "d has left 50 too many, and each takes one more"
    desk.leave(c, three)
    assert drained(c) == []


def test_what_others_leave_too_little_for_is_refused_at_once_and_may_be_tried_again(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=300, moves=True)
    resident = desk.resident("a")
    desk.limit(200)

    with pytest.raises(BudgetExceededError) as caught:
        desk.arrive(desk.entry("big", 250))

    assert caught.value.retryable
    assert caught.value.retry_after_s == RISE_S
    assert "needs 250 MiB, and models may have 200 MiB now (others use the rest)" in (
        caught.value.message
    )
    assert state_of(resident) is InstanceState.READY


def test_those_who_wait_are_told_when_the_limit_falls_below_their_need(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300, moves=True)
    busy, _running = desk.busy("busy", 200)
    ticket = desk.request(desk.entry("next", 250))

    desk.limit(240)

    assert isinstance(error_of(ticket), BudgetExceededError)
    assert state_of(busy) is InstanceState.READY


def test_what_not_even_an_idle_machine_could_hold_is_refused_for_good(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300, moves=True)
    desk.limit(100)

    with pytest.raises(ModelExceedsBudgetError) as caught:
        desk.arrive(desk.entry("giant", 301))

    assert "1 MiB more than the 300 MiB that memory_budget_mb (auto) allows" in (
        caught.value.message
    )
    assert not caught.value.retryable


def test_what_a_model_has_grown_by_is_found_beside_what_is_over_the_limit(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=300, moves=True)
    idle = desk.resident("idle")
    a = desk.entry("a")
    ticket = desk.request(a)
    desk.limit(250)

    desk.loaded(a, held_mb=160)
    assert not runs(ticket)
    desk.gone(idle)

    assert runs(ticket)
    assert instance_of(a).held_bytes == desk.scheduler.ledger.held_bytes


@pytest.mark.parametrize("limit_mb", [0, 150])
def test_who_waits_for_memory_is_told_no_time_that_nobody_knows(
    new_desk: NewDesk, limit_mb: int
) -> None:
    desk = new_desk(budget_mb=200, moves=True)
    a = desk.entry("a", 160)
    desk.limit(limit_mb)

    assert desk.scheduler.forecast_s(a, desk.clock.now_s) is None
