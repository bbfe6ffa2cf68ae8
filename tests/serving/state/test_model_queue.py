# SPDX-License-Identifier: GPL-3.0-only
import asyncio
import math
from collections.abc import Callable, Iterator

import pytest

from modeld.errors import ModelNotFoundError, QueueFullError
from modeld.serving.state.model_queue import SMOOTHING, ModelQueue
from modeld.serving.state.residence import Residence
from modeld.serving.state.ticket import Running, Ticket
from tests.support.serving.fakes import FakeEngine

NewTicket = Callable[..., Ticket]

STAY = Residence(FakeEngine(), started_s=0.0, ready_s=0.0)
"""What the model of the tests has in memory."""


@pytest.fixture
def new_ticket() -> Iterator[NewTicket]:
    loop = asyncio.new_event_loop()
    tickets: list[Ticket] = []

    def new(arrived_s: float = 0.0, *, needs_slot: bool = True) -> Ticket:
        tickets.append(Ticket(arrived_s, loop.create_future(), needs_slot=needs_slot))
        return tickets[-1]

    yield new
    for ticket in tickets:
        ticket.abandon()
    loop.close()


def test_tickets_go_ahead_in_order_of_arrival(new_ticket: NewTicket) -> None:
    queue = ModelQueue("a", slots=3, max_depth=0)
    tickets = [new_ticket() for _ in range(3)]
    for ticket in tickets:
        queue.join(ticket)

    assert [queue.grant(STAY, 0.0) for _ in range(3)] == tickets
    assert queue.grant(STAY, 0.0) is None


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("depth", [0, 1, 8])
@pytest.mark.parametrize("too_many", [1, 10])
@pytest.mark.parametrize("resident", [True, False])
def test_exactly_as_many_are_taken_as_there_are_slots_and_positions(
    new_ticket: NewTicket, slots: int, depth: int, too_many: int, resident: bool
) -> None:
    queue = ModelQueue("a", slots, depth)
    refused = 0
    for _ in range(slots + depth + too_many):
        try:
            queue.join(new_ticket())
        except QueueFullError:
            refused += 1
        if resident:
            queue.grant(STAY, 0.0)

    assert refused == too_many
    assert len(queue.running) == (slots if resident else 0)
    assert len(queue.waiting) + len(queue.running) == slots + depth


def test_a_full_queue_says_how_full_it_is(new_ticket: NewTicket) -> None:
    queue = ModelQueue("a", slots=1, max_depth=2)
    for _ in range(3):
        queue.join(new_ticket())
    queue.grant(STAY, 0.0)

    with pytest.raises(QueueFullError) as caught:
        queue.join(new_ticket())

    assert caught.value.message == (
        "2 requests wait for model 'a' and 1 run; no more than 2 may wait"
    )
    assert caught.value.retryable


def test_a_slot_is_given_back_once(new_ticket: NewTicket) -> None:
    queue = ModelQueue("a", slots=1, max_depth=1)
    first, second = new_ticket(), new_ticket()
    queue.join(first)
    queue.join(second)
    assert queue.grant(STAY, 0.0) is first
    assert queue.grant(STAY, 0.0) is None

    queue.leave(first)
    queue.leave(first)

    assert queue.grant(STAY, 0.0) is second
    assert set(queue.running) == {second}


def test_requests_of_a_dead_engine_hold_no_slot_and_others_keep_theirs(
    new_ticket: NewTicket,
) -> None:
    queue = ModelQueue("a", slots=2, max_depth=0)
    dead = Residence(FakeEngine(), started_s=0.0, ready_s=0.0)
    dazed, sound = new_ticket(), new_ticket()
    queue.join(dazed)
    queue.join(sound)
    queue.grant(dead, 0.0)
    queue.grant(STAY, 0.0)

    queue.forget_running(dead)

    assert set(queue.running) == {sound}
    assert queue.leave(dazed) is None
    assert queue.leave(sound) == Running(STAY, 0.0)


def test_a_ticket_that_leaves_the_queue_frees_its_position(new_ticket: NewTicket) -> None:
    queue = ModelQueue("a", slots=1, max_depth=0)
    ticket = new_ticket()
    queue.join(ticket)

    queue.leave(ticket)

    assert queue.is_empty
    queue.join(new_ticket())


def test_a_ticket_that_needs_no_slot_holds_none(new_ticket: NewTicket) -> None:
    queue = ModelQueue("a", slots=1, max_depth=8)
    load, request = new_ticket(needs_slot=False), new_ticket()
    queue.join(load)
    queue.join(request)

    assert queue.grant(STAY, 0.0) is load
    assert queue.grant(STAY, 0.0) is request
    assert set(queue.running) == {request}


def test_the_age_of_a_queue_is_that_of_its_first_ticket(new_ticket: NewTicket) -> None:
    queue = ModelQueue("a", slots=1, max_depth=8)
    assert queue.oldest_s == math.inf
    queue.join(new_ticket(3.0))
    queue.join(new_ticket(4.0))
    assert queue.oldest_s == 3.0

    queue.grant(STAY, 0.0)

    assert queue.oldest_s == 4.0
    assert not queue.is_empty


def test_failing_the_queue_spares_those_who_run(new_ticket: NewTicket) -> None:
    queue = ModelQueue("a", slots=1, max_depth=8)
    running, *waiting = tickets = [new_ticket() for _ in range(3)]
    for ticket in tickets:
        queue.join(ticket)
    queue.grant(STAY, 0.0)
    error = ModelNotFoundError("gone")

    queue.fail(error)

    assert [ticket.granted.exception() for ticket in waiting] == [error, error]
    assert running.granted.result() == queue.running[running]
    assert set(queue.running) == {running}
    assert not queue.waiting


def test_the_mean_follows_how_long_slots_were_held() -> None:
    queue = ModelQueue("a", slots=2, max_depth=8)
    assert queue.mean_s == 1.0

    queue.took(6.0)

    assert queue.mean_s == pytest.approx(1 + SMOOTHING * 5)


def test_one_that_does_not_stay_serves_nobody_who_waits_for_the_model_only(
    new_ticket: NewTicket,
) -> None:
    queue = ModelQueue("a", slots=1, max_depth=8)
    load, request = new_ticket(needs_slot=False), new_ticket()
    queue.join(load)
    queue.join(request)

    assert queue.grant(STAY, 0.0, stays=False) is request
    assert queue.grant(STAY, 0.0, stays=False) is None
    assert queue.grant(STAY, 0.0) is load
