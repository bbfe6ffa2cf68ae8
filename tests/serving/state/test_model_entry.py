# SPDX-License-Identifier: GPL-3.0-only
from collections.abc import Callable

from modeld.device_bytes import DeviceBytes
from modeld.status import InstanceState, InstanceStatus
from tests.support.serving.desk import Desk, engine_of, instance_of
from tests.support.serving.fakes import MIB, FakeBackend, an_entry

NewDesk = Callable[..., Desk]


def test_a_new_version_of_the_file_forgets_what_was_measured_and_what_went_wrong() -> None:
    entry = an_entry(FakeBackend(), "a", size_mb=100, slots=1)
    entry.need.held = DeviceBytes(500 * MIB)
    entry.cooldown.load_failed(0.0)
    fresh = an_entry(FakeBackend(), "a", size_mb=200, slots=3)

    entry.renew(fresh)

    assert entry.need.size_bytes == 200 * MIB
    assert entry.cooldown.remaining_s(0.0) == 0.0
    assert (entry.spec, entry.backend, entry.options) == (fresh.spec, fresh.backend, fresh.options)


def test_a_new_version_of_the_file_keeps_the_queue_and_what_is_loaded(new_desk: NewDesk) -> None:
    desk = new_desk()
    entry, running = desk.busy("a")
    instance, queue = instance_of(entry), entry.queue

    entry.renew(an_entry(desk.backend, "a", size_mb=200))

    assert instance_of(entry) is instance
    assert entry.queue is queue
    assert running in entry.queue.running


def test_the_states_of_an_entry(new_desk: NewDesk) -> None:
    desk = new_desk()
    entry = desk.entry("a")

    def state() -> InstanceState:
        return entry.state(desk.clock.now_s)

    assert state() is InstanceState.ABSENT
    ticket = desk.request(entry)
    assert state() is InstanceState.LOADING
    desk.loaded(entry)
    assert state() is InstanceState.READY
    desk.unload(entry)
    assert state() is InstanceState.DRAINING
    desk.leave(entry, ticket)
    desk.gone(entry)
    assert state() is InstanceState.ABSENT
    entry.cooldown.load_failed(desk.clock.now_s)
    assert state() is InstanceState.FAILED
    desk.clock.now_s += 5
    assert state() is InstanceState.ABSENT


def test_an_entry_wants_a_load_while_somebody_waits_for_an_absent_model(new_desk: NewDesk) -> None:
    desk = new_desk()
    entry = desk.entry("a")
    assert not entry.wants_load

    desk.arrive(entry)
    assert entry.wants_load

    desk.decide()
    assert not entry.wants_load


def test_a_model_is_idle_when_it_is_ready_and_its_queue_is_empty(new_desk: NewDesk) -> None:
    desk = new_desk()
    entry = desk.entry("a")
    assert not entry.is_idle
    ticket = desk.request(entry)
    assert not entry.is_idle
    desk.loaded(entry)
    assert not entry.is_idle
    desk.leave(entry, ticket)
    assert entry.is_idle
    desk.unload(entry)
    assert not entry.is_idle


def test_a_model_has_a_state_while_there_is_something_to_tell_of_it(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    entry = desk.entry("a")
    assert not entry.has_state
    ticket = desk.arrive(entry)
    assert entry.has_state
    desk.decide()
    desk.loaded(entry)
    desk.leave(entry, ticket)
    assert entry.has_state
    desk.unload(entry)
    desk.gone(entry)
    assert not entry.has_state
    entry.pinned = True
    assert entry.has_state
    entry.pinned = False
    entry.cooldown.crashed(0.0)
    assert entry.has_state


def test_the_status_of_an_absent_model_is_all_zero(new_desk: NewDesk) -> None:
    entry = new_desk().entry("a", slots=2, depth=7)
    entry.last_error, entry.log_tail = "it broke", ("last words",)

    assert entry.status(0.0) == InstanceStatus(
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
    entry, _running = desk.busy("a", 100)
    desk.request(entry)
    desk.request(entry)
    engine_of(entry).pid = 4711

    status = entry.status(desk.clock.now_s)

    assert (status.inflight, status.queue_len, status.pid) == (1, 2, 4711)
    assert (status.state, status.held_bytes) == (InstanceState.READY, 100 * MIB)
    assert status.loads_total == 1
