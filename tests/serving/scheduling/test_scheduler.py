# SPDX-License-Identifier: GPL-3.0-only
"""Who goes ahead: requests of one model, models that must be loaded, models that fail."""

import math
from collections.abc import Callable

import pytest

from modeld.device_bytes import DeviceBytes
from modeld.errors import (
    InvalidModelError,
    LoadFailedError,
    ModelExceedsBudgetError,
    QueueFullError,
    WorkerCrashedError,
)
from modeld.serving.state.cooldown import FIRST_S
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Closing, Ready
from modeld.status import EvictionReason, InstanceState
from tests.support.serving.desk import (
    Desk,
    engine_of,
    error_of,
    instance_of,
    reason_of,
    residence_of,
    runs,
    state_of,
)
from tests.support.serving.fakes import MIB, FakeEngine, an_entry

NewDesk = Callable[..., Desk]


def test_the_first_request_starts_one_load_and_the_next_ones_share_it(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.entry("a")
    first, second = desk.arrive(a), desk.arrive(a)

    assert desk.decide().loads == [a]
    assert desk.decide().loads == []
    third = desk.arrive(a)
    assert desk.decide().loads == []
    assert state_of(a) is InstanceState.LOADING
    assert not any(map(runs, (first, second, third)))


def test_a_loaded_model_takes_requests_in_order_of_arrival_and_no_more_than_it_has_slots(
    new_desk: NewDesk,
) -> None:
    desk = new_desk()
    a = desk.entry("a", slots=2)
    tickets = [desk.arrive(a) for _ in range(4)]
    desk.decide()

    desk.loaded(a)

    assert [runs(ticket) for ticket in tickets] == [True, True, False, False]
    desk.leave(a, tickets[1])
    assert [runs(ticket) for ticket in tickets] == [True, True, True, False]
    desk.leave(a, tickets[0])
    assert runs(tickets[3])


def test_the_engine_has_the_last_word_on_slots(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.entry("a", slots=4)
    tickets = [desk.arrive(a) for _ in range(3)]
    desk.decide()

    desk.loaded(a, slots=1)

    assert [runs(ticket) for ticket in tickets] == [True, False, False]


def test_a_request_that_leaves_the_queue_is_passed_over(new_desk: NewDesk) -> None:
    desk = new_desk()
    a, running = desk.busy("a")
    impatient, patient = desk.request(a), desk.request(a)

    desk.leave(a, impatient)
    desk.leave(a, running)

    assert runs(patient)
    assert not runs(impatient)


def test_a_load_asked_for_by_name_waits_for_the_model_only_and_takes_no_slot(
    new_desk: NewDesk,
) -> None:
    desk = new_desk()
    a = desk.entry("a")
    load, request = desk.arrive(a, needs_slot=False), desk.arrive(a)
    desk.decide()
    assert not runs(load)

    desk.loaded(a)

    assert runs(load)
    assert runs(request)
    assert len(a.queue.running) == 1


def test_a_load_asked_for_by_name_does_not_wait_behind_requests_for_slots(
    new_desk: NewDesk,
) -> None:
    desk = new_desk()
    a, _running = desk.busy("a")
    waiting = desk.request(a)

    load = desk.arrive(a, needs_slot=False)
    desk.decide()

    assert runs(load), "the model is loaded, which is all that this ticket waits for"
    assert not runs(waiting)


def test_models_are_loaded_in_the_order_of_their_oldest_requests(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300)
    late, early = desk.entry("late"), desk.entry("early")
    desk.arrive(early)
    desk.arrive(late)

    assert desk.decide().loads == [early, late]


def test_when_there_is_room_for_one_the_oldest_request_gets_it(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    late, early = desk.entry("late"), desk.entry("early")
    desk.arrive(early)
    desk.arrive(late)

    assert desk.decide().loads == [early]


def test_the_position_in_the_order_is_lost_with_the_oldest_request(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    busy, running = desk.busy("busy")
    first, second = desk.entry("first"), desk.entry("second")
    leaving = desk.request(first)
    desk.request(second)
    desk.request(first)

    desk.leave(first, leaving)
    desk.leave(busy, running)

    assert desk.gone(busy).loads == [second]


def test_a_model_that_can_never_fit_is_refused_at_the_door_with_all_numbers(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=100)
    resident = desk.resident("a")

    with pytest.raises(ModelExceedsBudgetError) as caught:
        desk.arrive(desk.entry("giant", 150))

    assert "150 MiB" in caught.value.message
    assert "50 MiB more than the 100 MiB" in caught.value.message
    assert not caught.value.retryable
    assert desk.decide().closes == []
    assert state_of(resident) is InstanceState.READY


def test_a_model_that_exactly_fits_is_taken(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a = desk.entry("a", 100)
    desk.arrive(a)

    assert desk.decide().loads == [a]


def test_waiters_of_a_model_that_turned_out_too_big_are_told_when_it_is_next_considered(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=100)
    a, running = desk.busy("a")
    b = desk.entry("b")
    ticket = desk.request(b)
    b.need.held = DeviceBytes(200 * MIB)

    desk.leave(a, running)

    assert isinstance(error_of(ticket), ModelExceedsBudgetError)
    assert b.queue.is_empty
    assert state_of(a) is InstanceState.READY, "nobody makes room for what can never fit"


def test_a_failed_load_frees_its_bytes_and_tells_all_who_wait(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a = desk.entry("a")
    tickets = [desk.arrive(a) for _ in range(3)]
    desk.decide()
    error = LoadFailedError("the file is a poem")

    desk.scheduler.gone(a, instance_of(a), desk.clock.now_s)
    desk.scheduler.refuse(a, error)

    assert [error_of(ticket) for ticket in tickets] == [error] * 3
    assert desk.scheduler.ledger.held_bytes == 0
    assert a.queue.is_empty
    assert a.last_error == "the file is a poem"
    assert not a.instances


def test_a_model_that_cools_down_is_refused_at_the_door_and_says_for_how_long(
    new_desk: NewDesk,
) -> None:
    desk = new_desk()
    a = desk.entry("a")
    a.cooldown.load_failed(desk.clock.now_s)
    a.last_error = "the file is a poem"

    with pytest.raises(LoadFailedError, match="not tried again for 5 s: the file is a poem") as e:
        desk.arrive(a)

    assert e.value.retry_after_s == pytest.approx(FIRST_S, abs=0.01)
    assert a.queue.is_empty
    desk.clock.now_s += FIRST_S
    desk.arrive(a)
    assert desk.decide().loads == [a]


@pytest.mark.parametrize(
    ("failure", "retry_after_s"), [(LoadFailedError, 5.0), (InvalidModelError, None)]
)
def test_while_a_model_cools_down_the_failure_that_began_it_is_told_again(
    new_desk: NewDesk, failure: type[LoadFailedError], retry_after_s: float | None
) -> None:
    desk = new_desk()
    a = desk.entry("a")
    desk.request(a)
    a.cooldown.load_failed(desk.clock.now_s)
    desk.scheduler.gone(a, instance_of(a), desk.clock.now_s)
    desk.scheduler.refuse(a, failure("the file is a poem"))

    with pytest.raises(failure, match="the file is a poem") as caught:
        desk.arrive(a)

    assert caught.value.retry_after_s == (retry_after_s and pytest.approx(retry_after_s, abs=0.01))


def test_after_a_second_crash_the_crash_is_told_again(new_desk: NewDesk) -> None:
    desk = new_desk()
    a, _running = desk.busy("a")
    for crash in range(2):
        engine_of(a).die()
        desk.decide()
        desk.gone(a)
        if crash == 0:
            desk.request(a)
            desk.loaded(a)

    with pytest.raises(WorkerCrashedError, match="the test killed it"):
        desk.arrive(a)


def test_those_who_wait_while_a_model_cools_down_are_asked_for_again_in_time(
    new_desk: NewDesk,
) -> None:
    desk = new_desk()
    a = desk.entry("a")
    desk.arrive(a)
    a.cooldown.load_failed(desk.clock.now_s)

    decision = desk.decide()
    assert decision.loads == []
    assert decision.wake_s == pytest.approx(desk.clock.now_s + FIRST_S)

    desk.clock.now_s = decision.wake_s
    assert desk.decide().loads == [a]


def test_one_model_that_cools_down_holds_no_other_up(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    broken, sound = desk.entry("broken"), desk.entry("sound")
    desk.arrive(broken)
    desk.arrive(sound)
    broken.cooldown.load_failed(desk.clock.now_s)

    assert desk.decide().loads == [sound]


def test_with_nothing_to_wait_for_nobody_asks_to_be_woken(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    desk.resident("a")

    assert desk.decide().wake_s == math.inf


def test_the_queue_is_bounded(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.entry("a", slots=1, depth=1)
    desk.arrive(a)
    desk.arrive(a)

    with pytest.raises(QueueFullError):
        desk.arrive(a)


def test_what_a_load_took_is_noted(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.entry("a", 100)
    desk.arrive(a)
    desk.decide()
    desk.clock.now_s += 3

    desk.loaded(a, held_mb=70)

    assert a.load_seconds == pytest.approx(3)
    assert a.loads_total == 1
    assert residence_of(a).ready_s == residence_of(a).last_used_s == desk.clock.now_s
    assert instance_of(a).held_bytes == 100 * MIB, "the larger of estimate and measurement counts"
    assert a.need.held.total_bytes == 70 * MIB


def test_what_an_outdated_load_has_measured_is_not_remembered(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.entry("a", 100)
    desk.request(a)
    a.renew(an_entry(desk.backend, "a", size_mb=100))

    desk.loaded(a, held_mb=150)

    assert desk.scheduler.ledger.held_bytes == 150 * MIB, "while it is there it counts"
    assert a.need.size_bytes == 100 * MIB


def test_the_last_use_is_stamped_when_a_request_starts_and_when_it_ends(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.resident("a")
    desk.clock.now_s += 10
    ticket = desk.request(a)
    assert residence_of(a).last_used_s == desk.clock.now_s

    desk.clock.now_s += 10
    desk.leave(a, ticket)
    assert residence_of(a).last_used_s == desk.clock.now_s


def test_a_request_that_gives_up_in_the_queue_is_no_use_of_the_model(new_desk: NewDesk) -> None:
    desk = new_desk()
    a, _running = desk.busy("a")
    used_s = residence_of(a).last_used_s
    waiting = desk.request(a)

    desk.clock.now_s += 10
    desk.leave(a, waiting)

    assert residence_of(a).last_used_s == used_s


def test_an_engine_that_died_is_reported_once_and_closed_with_requests_on_it(
    new_desk: NewDesk,
) -> None:
    desk = new_desk()
    a, running = desk.busy("a")
    engine_of(a).die()

    decision = desk.decide()

    assert decision.deaths == [a]
    assert decision.closes == [a], "a dead engine is not kept for those who were on it"
    assert reason_of(a) is EvictionReason.WORKER_EXITED
    assert a.last_error == "the test killed it"
    assert desk.decide().deaths == []
    assert runs(running)


def test_a_first_death_is_forgiven_and_a_second_one_is_waited_for(new_desk: NewDesk) -> None:
    desk = new_desk()
    a, _running = desk.busy("a")
    waiting = desk.request(a)

    for wait_s in (0.0, FIRST_S):
        engine_of(a).die()
        desk.decide()
        assert a.cooldown.remaining_s(desk.clock.now_s) == pytest.approx(wait_s)
        a.queue.running.clear()
        decision = desk.gone(a)
        assert decision.loads == ([] if wait_s else [a])
        if not wait_s:
            desk.loaded(a)
            assert runs(waiting)
            desk.request(a)


def test_a_client_that_still_reads_its_error_holds_no_slot_of_the_next_instance(
    new_desk: NewDesk,
) -> None:
    desk = new_desk()
    a, dazed = desk.busy("a")
    waiting = desk.request(a)
    engine_of(a).die()
    desk.decide()
    assert desk.gone(a).loads == [a]

    desk.loaded(a)

    assert runs(waiting)
    desk.clock.now_s += 10
    desk.leave(a, dazed)
    assert set(a.queue.running) == {waiting}
    assert residence_of(a).last_used_s < desk.clock.now_s


def test_an_engine_that_cannot_say_how_it_is_is_as_good_as_dead(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.resident("a")

    def failure() -> None:
        raise RuntimeError("ask someone else")

    engine_of(a).failure = failure  # type: ignore[method-assign]

    decision = desk.decide()

    assert decision.deaths == [a]
    assert "ask someone else" in (a.last_error or "")


def test_an_engine_that_dies_while_it_drains_is_noticed_too(new_desk: NewDesk) -> None:
    desk = new_desk()
    a, _running = desk.busy("a")
    desk.unload(a)
    engine_of(a).die()

    decision = desk.decide()

    assert decision.deaths == [a]
    assert decision.closes == [a]


def test_an_engine_that_ends_because_it_was_closed_is_no_death(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.resident("a")
    assert desk.unload(a).closes == [a]
    engine_of(a).die()

    assert desk.decide().deaths == []


def test_the_check_finds_books_that_do_not_balance(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200)
    desk.resident("a")
    desk.scheduler.ledger.reserve("nobody", 1)

    with pytest.raises(AssertionError):
        desk.scheduler.check()


def test_the_check_finds_a_free_slot_that_is_not_given(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.resident("a")
    desk.arrive(a)

    with pytest.raises(AssertionError, match="slot"):
        desk.scheduler.check()


def test_the_check_finds_a_victim_with_two_owners(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a = desk.resident("a")
    b, c = desk.entry("b"), desk.entry("c")
    desk.request(b)
    c.victims.add(instance_of(a))

    with pytest.raises(AssertionError, match="two owners"):
        desk.scheduler.check()


def a_replica(desk: Desk, entry: ModelEntry) -> Instance:
    """Return a second instance of the model, as one that decides on replicas would make it."""
    reservation = desk.scheduler.ledger.reserve(entry.spec.id, entry.need.size_bytes)
    replica = Instance(entry.spec, reservation, desk.clock.now_s)
    entry.instances.append(replica)
    desk.scheduler.loaded(entry, replica, FakeEngine(slots=entry.queue.slots), desk.clock.now_s)
    desk.decide()
    return replica


def test_the_death_of_one_instance_costs_the_other_of_its_model_nothing(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300)
    a = desk.resident("a", slots=2)
    dying = instance_of(a)
    engine, dazed = engine_of(a), desk.request(a)
    replica = a_replica(desk, a)
    a.instances.reverse()
    sound = desk.request(a)
    engine.die()

    assert desk.decide().closes == [a]

    assert isinstance(dying.phase, Closing)
    assert isinstance(replica.phase, Ready)
    assert set(a.queue.running) == {sound}
    assert runs(dazed)
    desk.scheduler.gone(a, dying, desk.clock.now_s)
    desk.decide()
    assert a.instances == [replica]
    assert desk.scheduler.ledger.held_bytes == 100 * MIB


def test_all_instances_of_a_model_drain_and_are_closed_each_once(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300)
    a = desk.resident("a", slots=2)
    first, second = instance_of(a), a_replica(desk, a)

    assert desk.unload(a).closes == [a, a]
    assert desk.decide().closes == []
    for instance in (first, second):
        desk.scheduler.gone(a, instance, desk.clock.now_s)
        desk.decide()

    assert a.has_nothing_left
    assert desk.scheduler.ledger.held_bytes == 0
