# SPDX-License-Identifier: GPL-3.0-only
"""Rule 3: what drains is taken back if and only if nobody claims it, and closing is one-way.

What a model serves meanwhile, and that nobody is held up by it without bound.
"""

import math
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from modeld.serving.scheduling.backfill import LONG
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Ready
from modeld.serving.state.ticket import Ticket
from modeld.status import EvictionReason, InstanceState
from modeld.values import FileStamp
from tests.support.serving.desk import (
    Desk,
    drained,
    engine_of,
    instance_of,
    is_closing,
    owner_of,
    reason_of,
    runs,
    started_s,
    state_of,
)
from tests.support.serving.fakes import an_entry

NewDesk = Callable[..., Desk]

MEAN_S = 1.0
"""How long requests are taken to last before any has ended."""


def a_claimed_model(desk: Desk) -> tuple[ModelEntry, Ticket, ModelEntry, Ticket]:
    """Return a model that works for a request, and one that has just claimed it."""
    a = desk.resident("a", slots=2)
    working = desk.request(a)
    b = desk.entry("b")
    waiting = desk.request(b)
    desk.leave(a, desk.request(a))
    desk.decide(after_s=10)
    assert drained(a) == ["a"]
    assert owner_of(a) == b.spec.id
    return a, working, b, waiting


def test_who_gives_up_gives_the_model_back_and_its_requests_go_on(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a, _working, b, waiting = a_claimed_model(desk)
    life = instance_of(a)
    late = [desk.request(a) for _ in range(2)]

    desk.leave(b, waiting)

    assert state_of(a) is InstanceState.READY
    assert instance_of(a) is life
    assert runs(late[0])
    assert isinstance(life.phase, Ready)
    assert b.victims == set()
    assert desk.decide().wake_s == math.inf


def test_a_model_is_not_taken_back_while_another_request_still_waits(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a, working, b, waiting = a_claimed_model(desk)
    desk.request(b)

    desk.leave(b, waiting)

    assert drained(a) == ["a"]
    assert desk.leave(a, working).closes == [a]


def test_who_was_served_otherwise_gives_the_model_back(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=200)
    other, of_other = desk.busy("other")
    other.pinned = True
    a, _working, b, _waiting = a_claimed_model(desk)
    late = desk.request(a)
    desk.unload(other)
    desk.leave(other, of_other)

    assert desk.gone(other).loads == [b]

    assert state_of(a) is InstanceState.READY
    assert runs(late)


def test_closing_is_one_way(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a, working, b, waiting = a_claimed_model(desk)
    assert desk.leave(a, working).closes == [a]

    desk.leave(b, waiting)
    late = desk.request(a)

    assert state_of(a) is InstanceState.DRAINING
    assert not runs(late)
    assert desk.gone(a).loads == [a]


@pytest.mark.parametrize(
    "reason", [reason for reason in EvictionReason if reason is not EvictionReason.MAKE_ROOM]
)
def test_a_claim_of_any_other_kind_is_never_given_up(
    new_desk: NewDesk, reason: EvictionReason
) -> None:
    desk = new_desk(budget_mb=100)
    a, working, b, waiting = a_claimed_model(desk)
    desk.scheduler.drain(a, reason)

    desk.leave(b, waiting)

    assert drained(a) == ["a"]
    assert reason_of(a) is reason
    desk.leave(a, working)
    assert is_closing(a)


def test_a_dead_worker_is_not_taken_back(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a, _working, b, waiting = a_claimed_model(desk)
    engine_of(a).die()

    decision = desk.leave(b, waiting)

    assert decision.closes == [a]
    assert state_of(a) is InstanceState.DRAINING


def test_a_model_that_is_taken_back_may_be_claimed_again(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a, _working, b, waiting = a_claimed_model(desk)
    desk.leave(b, waiting)
    again = desk.request(b)
    desk.request(a)

    desk.decide(after_s=10)

    assert drained(a) == ["a"]
    assert owner_of(a) == b.spec.id
    assert not runs(again)


def test_long_work_keeps_the_other_slots_of_a_claimed_model_in_use(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a, working, _b, _waiting = a_claimed_model(desk)
    assert desk.clock.now_s - started_s(working) > LONG * MEAN_S

    beside = desk.request(a)
    queued = desk.request(a)

    assert runs(beside)
    assert not runs(queued)
    assert drained(a) == ["a"]
    desk.leave(a, beside)
    assert runs(queued)


def test_work_that_is_not_long_yet_closes_a_claimed_model_until_it_is(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a = desk.resident("a", slots=3)
    begun_s = desk.clock.now_s
    desk.request(a)
    desk.unload(a)
    late = desk.request(a)
    assert not runs(late)

    decision = desk.decide()
    assert decision.wake_s == pytest.approx(begun_s + LONG * MEAN_S, abs=0.01)
    desk.clock.now_s = decision.wake_s
    desk.decide()

    assert runs(late)
    assert drained(a) == ["a"]


def test_what_was_let_in_lets_nothing_more_in(new_desk: NewDesk) -> None:
    """So a wrong forecast costs the one who waits a request's time, and not a chain of them."""
    desk = new_desk(budget_mb=100)
    a, working, b, _waiting = a_claimed_model(desk)
    beside = desk.request(a)
    assert runs(beside)
    desk.leave(a, working)
    desk.clock.now_s += 100

    late = desk.request(a)

    assert not runs(late)
    assert desk.leave(a, beside).closes == [a]
    assert desk.gone(a).loads == [b]


def test_requests_that_come_during_an_unload_run_beside_long_work_or_wait_for_the_next_load(
    new_desk: NewDesk,
) -> None:
    desk = new_desk()
    a = desk.resident("a", slots=2)
    working = desk.request(a)
    desk.clock.now_s += 60
    desk.unload(a)

    beside, late = desk.request(a), desk.request(a)
    by_name = desk.arrive(a, needs_slot=False)
    desk.decide()

    assert [runs(each) for each in (beside, late, by_name)] == [True, False, False]
    desk.leave(a, working)
    assert not runs(late)
    assert desk.leave(a, beside).closes == [a]
    assert desk.gone(a).loads == [a]
    desk.loaded(a)
    assert runs(late)
    assert runs(by_name)


@pytest.mark.parametrize("reason", [EvictionReason.FILE_CHANGED, EvictionReason.SHUTDOWN])
def test_what_was_not_asked_for_is_never_served(new_desk: NewDesk, reason: EvictionReason) -> None:
    """A changed file: who comes after the change asks for the new one."""
    desk = new_desk()
    a = desk.resident("a", slots=2)
    desk.request(a)
    desk.clock.now_s += 60

    desk.scheduler.drain(a, reason)

    assert not runs(desk.request(a))


def test_a_file_that_changes_while_its_model_is_unloaded_is_served_by_the_next_load(
    new_desk: NewDesk,
) -> None:
    """The unload is the reason that stays, and would let requests in beside the long work."""
    desk = new_desk()
    a = desk.resident("a", slots=3)
    working = desk.request(a)
    desk.clock.now_s += 60
    desk.unload(a)
    beside = desk.request(a)
    assert runs(beside)

    stamp = FileStamp(device=1, inode=2, size_bytes=3, mtime_ns=4)
    fresh = an_entry(desk.backend, "a", slots=3)
    fresh.spec = replace(fresh.spec, stamp=stamp)
    a.renew(fresh)
    desk.scheduler.drain(a, EvictionReason.FILE_CHANGED)

    late = desk.request(a)
    assert not runs(late)
    assert not desk.leave(a, beside).closes
    assert desk.leave(a, working).closes == [a]
    assert desk.gone(a).loads == [a]
