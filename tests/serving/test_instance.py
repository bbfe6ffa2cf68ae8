# SPDX-License-Identifier: GPL-3.0-only
from collections.abc import Callable

from modeld import Candidate
from modeld.values import InstanceState, InstanceStatus
from tests.serving.desk import Desk
from tests.serving.fakes import MIB, FakeBackend, a_place

NewDesk = Callable[..., Desk]


def test_a_new_version_of_the_file_forgets_what_was_measured_and_what_went_wrong() -> None:
    place = a_place(FakeBackend(), "a", size_mb=100, slots=1)
    place.need.held_bytes = 500 * MIB
    place.cooldown.load_failed(0.0)
    fresh = a_place(FakeBackend(), "a", size_mb=200, slots=3)

    place.renew(fresh)

    assert place.need.size_bytes == 200 * MIB
    assert place.cooldown.remaining_s(0.0) == 0.0
    assert (place.spec, place.backend, place.options) == (fresh.spec, fresh.backend, fresh.options)


def test_a_new_version_of_the_file_keeps_the_line_and_what_is_loaded(new_desk: NewDesk) -> None:
    desk = new_desk()
    place, running = desk.busy("a")
    instance, line = place.instance, place.line

    place.renew(a_place(desk.backend, "a", size_mb=200))

    assert place.instance is instance
    assert place.line is line
    assert running in place.line.running


def test_the_states_of_a_place(new_desk: NewDesk) -> None:
    desk = new_desk()
    place = desk.place("a")

    def state() -> InstanceState:
        return place.state(desk.clock.now_s)

    assert state() is InstanceState.ABSENT
    ticket = desk.request(place)
    assert state() is InstanceState.LOADING
    desk.loaded(place)
    assert state() is InstanceState.READY
    desk.unload(place)
    assert state() is InstanceState.DRAINING
    desk.leave(place, ticket)
    desk.gone(place)
    assert state() is InstanceState.ABSENT
    place.cooldown.load_failed(desk.clock.now_s)
    assert state() is InstanceState.FAILED
    desk.clock.now_s += 5
    assert state() is InstanceState.ABSENT


def test_a_place_wants_a_load_while_somebody_waits_for_an_absent_model(new_desk: NewDesk) -> None:
    desk = new_desk()
    place = desk.place("a")
    assert not place.wants_load

    desk.arrive(place)
    assert place.wants_load

    desk.decide()
    assert not place.wants_load


def test_a_model_is_idle_when_it_is_ready_and_its_line_is_empty(new_desk: NewDesk) -> None:
    desk = new_desk()
    place = desk.place("a")
    assert not place.is_idle
    ticket = desk.request(place)
    assert not place.is_idle
    desk.loaded(place)
    assert not place.is_idle
    desk.leave(place, ticket)
    assert place.is_idle
    desk.unload(place)
    assert not place.is_idle


def test_growth_is_what_was_measured_beyond_the_reservation(new_desk: NewDesk) -> None:
    desk = new_desk()
    place = desk.resident("a", 100)
    assert place.instance is not None

    place.instance.measured_bytes = 130 * MIB
    assert place.instance.growth_bytes == 30 * MIB
    place.instance.measured_bytes = 70 * MIB
    assert place.instance.growth_bytes == 0


def test_the_forecast_counts_the_load_while_the_model_is_not_ready(new_desk: NewDesk) -> None:
    desk = new_desk()
    place = desk.resident("a")
    place.load_seconds = 7.0
    ready_s = place.forecast_s()

    desk.unload(place)
    assert place.forecast_s() == ready_s + 7.0
    desk.gone(place)
    assert place.forecast_s() == ready_s + 7.0


def test_the_candidate_is_the_model_as_it_is_in_memory(new_desk: NewDesk) -> None:
    desk = new_desk()
    place = desk.place("a", 100)
    desk.arrive(place, needs_slot=False)
    desk.decide()
    desk.clock.now_s += 2
    desk.loaded(place, held_mb=120)
    loaded_s = desk.clock.now_s
    desk.clock.now_s += 5
    desk.leave(place, desk.request(place))

    assert place.candidate() == Candidate(
        model="a",
        held_bytes=120 * MIB,
        last_used_s=desk.clock.now_s,
        loaded_s=loaded_s,
        load_seconds=2.0,
    )


def test_the_status_of_an_absent_model_is_all_zero(new_desk: NewDesk) -> None:
    place = new_desk().place("a", slots=2, depth=7)
    place.last_error, place.log_tail = "it broke", ("last words",)

    assert place.status(0.0) == InstanceStatus(
        model_id="a",
        state=InstanceState.ABSENT,
        last_used_unix=0,
        held_bytes=0,
        queue_len=0,
        inflight=0,
        max_queue_depth=7,
        slots=2,
        last_error="it broke",
        log_tail=("last words",),
    )


def test_the_status_of_a_busy_model_has_its_numbers(new_desk: NewDesk) -> None:
    desk = new_desk()
    place, _running = desk.busy("a", 100)
    desk.request(place)
    desk.request(place)
    assert place.instance is not None
    assert place.instance.engine is not None
    place.instance.engine.pid = 4711

    status = place.status(desk.clock.now_s)

    assert (status.inflight, status.queue_len, status.pid) == (1, 2, 4711)
    assert (status.state, status.held_bytes) == (InstanceState.READY, 100 * MIB)
    assert status.loads_total == 1
