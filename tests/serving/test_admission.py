# SPDX-License-Identifier: GPL-3.0-only
import asyncio
import math
from collections.abc import Callable, Iterator

import pytest

from modeld.errors import ModelNotFoundError, QueueFullError
from modeld.serving.admission import SMOOTHING, Line, Ticket

NewTicket = Callable[..., Ticket]


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
    line = Line("a", slots=3, max_depth=0)
    tickets = [new_ticket() for _ in range(3)]
    for ticket in tickets:
        line.join(ticket)

    assert [line.next() for _ in range(3)] == tickets
    assert line.next() is None


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("depth", [0, 1, 8])
@pytest.mark.parametrize("too_many", [1, 10])
@pytest.mark.parametrize("resident", [True, False])
def test_exactly_as_many_are_taken_as_there_are_slots_and_places(
    new_ticket: NewTicket, slots: int, depth: int, too_many: int, resident: bool
) -> None:
    line = Line("a", slots, depth)
    refused = 0
    for _ in range(slots + depth + too_many):
        try:
            line.join(new_ticket())
        except QueueFullError:
            refused += 1
        if resident:
            line.next()

    assert refused == too_many
    assert len(line.running) == (slots if resident else 0)
    assert len(line.waiting) + len(line.running) == slots + depth


def test_a_full_line_says_how_full_it_is_and_when_to_come_back(new_ticket: NewTicket) -> None:
    line = Line("a", slots=1, max_depth=2)
    for _ in range(3):
        line.join(new_ticket())
    line.next()

    with pytest.raises(QueueFullError) as caught:
        line.join(new_ticket())

    assert caught.value.message == (
        "2 requests wait for model 'a' and 1 run; no more than 2 may wait"
    )
    assert caught.value.retry_after_s == line.forecast_s() > 0
    assert caught.value.retryable


def test_a_slot_is_given_back_once(new_ticket: NewTicket) -> None:
    line = Line("a", slots=1, max_depth=1)
    first, second = new_ticket(), new_ticket()
    line.join(first)
    line.join(second)
    assert line.next() is first
    assert line.next() is None

    line.leave(first)
    line.leave(first)

    assert line.next() is second
    assert line.running == {second}


def test_a_ticket_that_leaves_the_line_frees_its_place(new_ticket: NewTicket) -> None:
    line = Line("a", slots=1, max_depth=0)
    ticket = new_ticket()
    line.join(ticket)

    line.leave(ticket)

    assert line.is_empty
    line.join(new_ticket())


def test_a_ticket_that_needs_no_slot_holds_none(new_ticket: NewTicket) -> None:
    line = Line("a", slots=1, max_depth=8)
    load, request = new_ticket(needs_slot=False), new_ticket()
    line.join(load)
    line.join(request)

    assert line.next() is load
    assert line.next() is request
    assert line.running == {request}


def test_the_age_of_a_line_is_that_of_its_first_ticket(new_ticket: NewTicket) -> None:
    line = Line("a", slots=1, max_depth=8)
    assert line.oldest_s == math.inf
    line.join(new_ticket(3.0))
    line.join(new_ticket(4.0))
    assert line.oldest_s == 3.0

    line.next()

    assert line.oldest_s == 4.0
    assert not line.is_empty


def test_failing_the_line_spares_those_who_run(new_ticket: NewTicket) -> None:
    line = Line("a", slots=1, max_depth=8)
    running, *waiting = tickets = [new_ticket() for _ in range(3)]
    for ticket in tickets:
        line.join(ticket)
    line.next()
    running.grant()
    error = ModelNotFoundError("gone")

    line.fail(error)

    assert [ticket.granted.exception() for ticket in waiting] == [error, error]
    assert running.granted.result() is None
    assert line.running == {running}
    assert not line.waiting


def test_a_ticket_is_settled_once(new_ticket: NewTicket) -> None:
    granted, failed, left = (new_ticket() for _ in range(3))
    granted.grant()
    granted.fail(ModelNotFoundError("late"))
    failed.fail(ModelNotFoundError("first"))
    failed.grant()
    left.abandon()
    left.grant()
    left.fail(ModelNotFoundError("late"))

    assert granted.granted.result() is None
    assert str(failed.granted.exception()) == "first"
    assert left.granted.cancelled()


def test_the_forecast_is_the_requests_ahead_by_mean_time_by_slot(new_ticket: NewTicket) -> None:
    line = Line("a", slots=2, max_depth=8)
    assert line.forecast_s() == 0.5

    line.took(6.0)
    mean_s = 1 + SMOOTHING * 5
    assert line.forecast_s() == pytest.approx(mean_s / 2)

    line.join(new_ticket())
    line.join(new_ticket())
    assert line.forecast_s() == pytest.approx(3 * mean_s / 2)
