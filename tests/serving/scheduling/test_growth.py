# SPDX-License-Identifier: GPL-3.0-only
"""Models that hold more, once loaded, than was reserved for them."""

from collections.abc import Callable

from modeld.errors import BudgetExceededError, ModelExceedsBudgetError
from modeld.serving.state.model_entry import ModelEntry
from modeld.status import InstanceState
from tests.support.serving.desk import (
    Desk,
    drained,
    engine_of,
    error_of,
    instance_of,
    is_closing,
    runs,
    state_of,
)
from tests.support.serving.fakes import MIB, FakeEngine

NewDesk = Callable[..., Desk]


def loading(desk: Desk, model: str, size_mb: int = 100) -> ModelEntry:
    entry = desk.entry(model, size_mb)
    desk.arrive(entry)
    assert entry in desk.decide().loads
    return entry


def test_what_was_measured_counts_where_it_is_more_than_the_estimate(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300)
    a = loading(desk, "a")

    desk.loaded(a, held_mb=250)

    assert state_of(a) is InstanceState.READY
    assert desk.scheduler.ledger.held_bytes == 250 * MIB


def test_the_next_load_reserves_what_was_measured(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300)
    a = loading(desk, "a")
    desk.loaded(a, held_mb=250)
    a.queue.running.clear()
    desk.unload(a)
    desk.gone(a)

    desk.request(a)

    assert desk.scheduler.ledger.held_bytes == 250 * MIB


def test_room_is_made_before_a_grown_model_takes_requests(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200)
    idle = desk.resident("idle")
    a = desk.entry("a")
    ticket = desk.request(a)

    decision = desk.loaded(a, held_mb=150)

    assert decision.closes == [idle]
    assert state_of(a) is InstanceState.LOADING
    assert not runs(ticket)
    assert desk.scheduler.ledger.held_bytes == 200 * MIB, "nothing is counted before it is free"
    desk.gone(idle)
    assert state_of(a) is InstanceState.READY
    assert runs(ticket)
    assert desk.scheduler.ledger.held_bytes == 150 * MIB
    assert a.victims == set()


def test_a_victim_that_was_not_needed_after_all_is_left_for_the_next_to_count_on(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=400)
    victim, other, staying = (desk.resident(model) for model in ("x", "y", "z"))
    a = loading(desk, "a")
    desk.loaded(a, held_mb=150)
    assert drained(victim, other, staying) == ["x"]
    desk.unload(other)
    desk.gone(other)
    assert state_of(a) is InstanceState.READY

    b = desk.entry("b", 150)
    desk.request(b)

    assert drained(staying) == []
    assert b.victims == {instance_of(victim)}


def test_no_second_victim_is_taken_while_the_first_one_leaves(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300)
    first, second = desk.resident("first"), desk.resident("second")
    a = loading(desk, "a")

    desk.loaded(a, held_mb=150)
    desk.decide()

    assert drained(first, second) == ["first"]


def test_minimum_residence_protects_nobody_from_a_model_that_is_there_already(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=200, min_residence_s=100)
    young = desk.resident("young")
    a = loading(desk, "a")

    assert desk.loaded(a, held_mb=150).closes == [young]


def test_no_load_takes_the_bytes_that_a_grown_model_waits_for(new_desk: NewDesk) -> None:
    """It needs 100 MiB more: 80 of a victim and 20 of the 70 that are free. So 50 are left."""
    desk = new_desk(budget_mb=250)
    idle = desk.resident("idle", 80)
    a = loading(desk, "a")
    big, small = desk.entry("big", 51), desk.entry("small", 50)
    desk.scheduler.loaded(a, instance_of(a), FakeEngine(held_bytes=200 * MIB), desk.clock.now_s)
    desk.arrive(big)
    decision = desk.decide()
    assert decision.closes == [idle]
    assert decision.loads == []

    desk.arrive(small)

    assert desk.decide().loads == [small]
    desk.gone(idle)
    assert state_of(a) is InstanceState.READY
    assert desk.scheduler.ledger.held_bytes == 250 * MIB


def test_a_grown_model_that_nobody_can_make_room_for_goes_and_says_why(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200)
    desk.busy("busy")
    a = desk.entry("a")
    ticket = desk.request(a)

    decision = desk.loaded(a, held_mb=150)

    error = error_of(ticket)
    assert isinstance(error, BudgetExceededError)
    assert f"holds {150 * MIB} bytes once loaded, {50 * MIB} more" in error.message
    assert error.retryable
    assert error.retry_after_s is not None
    assert decision.closes == [a]
    assert desk.gone(a).loads == []
    assert a.last_error == error.message


def test_a_grown_model_that_can_never_fit_says_that(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200)
    idle = desk.resident("idle")
    a = desk.entry("a")
    ticket = desk.request(a)

    desk.loaded(a, held_mb=250)

    assert isinstance(error_of(ticket), ModelExceedsBudgetError)
    assert drained(idle, a) == ["a"], "nobody makes room for what can never fit"


def test_a_model_that_outgrew_its_reservation_counts_in_full_until_it_is_gone(
    new_desk: NewDesk,
) -> None:
    """It holds 240 MiB although only 100 were reserved: the other 140 are not free."""
    desk = new_desk(budget_mb=300)
    desk.busy("busy")
    a = loading(desk, "a")
    small = desk.entry("small", 100)

    desk.loaded(a, held_mb=240)
    assert drained(a) == ["a"]
    desk.arrive(small)

    assert desk.decide().loads == [], "100 MiB look free, but a model that leaves holds them"
    assert desk.gone(a).loads == [small]


def test_an_unloaded_model_that_has_grown_counts_in_full_until_it_is_gone(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=200)
    a = loading(desk, "a")
    desk.unload(a)
    small = desk.entry("small", 100)

    desk.loaded(a, held_mb=200)
    desk.arrive(small)

    assert desk.decide().loads == []


def test_two_models_that_have_grown_count_on_no_byte_twice(new_desk: NewDesk) -> None:
    """Each needs 80 MiB more: 50 are free, so two idle models of 60 must go, and no third."""
    desk = new_desk(budget_mb=430)
    idle = [desk.resident(model, 60) for model in ("x", "y", "z")]
    a, b = loading(desk, "a"), loading(desk, "b")
    desk.scheduler.loaded(a, instance_of(a), FakeEngine(held_bytes=180 * MIB), desk.clock.now_s)
    desk.scheduler.loaded(b, instance_of(b), FakeEngine(held_bytes=180 * MIB), desk.clock.now_s)

    desk.decide()
    for entry in idle:
        if is_closing(entry):
            desk.gone(entry)

    assert state_of(a) is InstanceState.READY
    assert state_of(b) is InstanceState.READY
    assert drained(*idle) == []
    assert state_of(idle[2]) is InstanceState.READY


def test_of_two_models_that_have_grown_one_is_settled_where_there_is_room_for_one(
    new_desk: NewDesk,
) -> None:
    """Each needs 80 MiB more: 50 are free, and idle models give 60. Nobody waits for ever."""
    desk = new_desk(budget_mb=310)
    idle = [desk.resident(model, 30) for model in ("x", "y")]
    a, b = loading(desk, "a"), loading(desk, "b")
    desk.scheduler.loaded(a, instance_of(a), FakeEngine(held_bytes=180 * MIB), desk.clock.now_s)
    desk.scheduler.loaded(b, instance_of(b), FakeEngine(held_bytes=180 * MIB), desk.clock.now_s)

    desk.decide()
    for entry in idle:
        if is_closing(entry):
            desk.gone(entry)

    assert state_of(b) is InstanceState.DRAINING, "it was loaded last"
    desk.gone(b)
    assert state_of(a) is InstanceState.READY


def test_an_engine_that_dies_while_room_is_made_for_it_is_noticed(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200)
    desk.resident("idle")
    a = desk.entry("a")
    ticket = desk.request(a)
    desk.loaded(a, held_mb=150)
    engine_of(a).die()

    decision = desk.decide()

    assert decision.deaths == [a]
    assert decision.closes == [a]
    assert not ticket.granted.done(), "it waits for the next instance"


def test_a_pinned_model_makes_no_room_for_one_that_has_grown(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200)
    pinned = desk.resident("pinned")
    pinned.pinned = True
    a = desk.entry("a")
    ticket = desk.request(a)

    desk.loaded(a, held_mb=150)

    assert drained(pinned, a) == ["a"]
    assert isinstance(error_of(ticket), BudgetExceededError)
