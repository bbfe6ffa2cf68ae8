# SPDX-License-Identifier: GPL-3.0-only
"""The life of a request: every way through it, and what no way leads to."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.errors import ModelNotFoundError
from modeld.serving.state import ticket
from modeld.serving.state.residence import Residence
from modeld.serving.state.ticket import (
    End,
    Ended,
    IllegalTransitionError,
    Queued,
    RequestPhase,
    Running,
    Ticket,
)
from tests.support.serving.fakes import FakeEngine

STAY = Residence(FakeEngine(), started_s=0.0, ready_s=0.0)

TRANSITIONS: dict[str, Callable[[RequestPhase], RequestPhase]] = {
    "run": lambda phase: ticket.run(phase, STAY, 3.0),
    "refuse": ticket.refuse,
    "finish well": lambda phase: ticket.finish(phase, well=True),
    "finish badly": lambda phase: ticket.finish(phase, well=False),
    "give up": ticket.give_up,
}

RUNNING = Running(STAY, 3.0)

FOLLOWS: dict[tuple[str, type[RequestPhase]], RequestPhase] = {
    ("run", Queued): RUNNING,
    ("refuse", Queued): Ended(End.REFUSED),
    ("finish well", Running): Ended(End.SERVED),
    ("finish badly", Running): Ended(End.BROKEN_OFF),
    ("give up", Queued): Ended(End.LEFT),
    ("give up", Running): Ended(End.BROKEN_OFF),
    ("give up", Ended): Ended(End.SERVED),
}


@pytest.fixture
def new_ticket() -> Iterator[Callable[[], Ticket]]:
    loop = asyncio.new_event_loop()
    tickets: list[Ticket] = []

    def new() -> Ticket:
        tickets.append(Ticket(1.0, loop.create_future()))
        return tickets[-1]

    yield new
    for each in tickets:
        each.abandon()
    loop.close()


@pytest.mark.parametrize(
    "phase", [Queued(), RUNNING, Ended(End.SERVED)], ids=lambda phase: type(phase).__name__
)
@pytest.mark.parametrize("name", TRANSITIONS)
def test_each_transition_leads_where_it_says_and_every_other_is_refused(
    name: str, phase: RequestPhase
) -> None:
    expected = FOLLOWS.get((name, type(phase)))

    if expected is None:
        with pytest.raises(IllegalTransitionError, match=type(phase).__name__):
            TRANSITIONS[name](phase)
    else:
        assert TRANSITIONS[name](phase) == expected


@given(st.lists(st.sampled_from(sorted(TRANSITIONS)), max_size=12))
def test_a_request_ends_once_and_only_what_has_run_is_served(names: list[str]) -> None:
    phase: RequestPhase = Queued()
    has_run = False
    for name in names:
        before = phase
        try:
            phase = TRANSITIONS[name](before)
        except IllegalTransitionError:
            continue
        has_run |= isinstance(phase, Running)
        if isinstance(before, Ended):
            assert phase == before
        elif isinstance(before, Running):
            assert isinstance(phase, Ended)
        if isinstance(phase, Ended):
            assert (phase.how in (End.SERVED, End.BROKEN_OFF)) == has_run


def test_a_granted_request_wakes_with_what_it_runs_on(new_ticket: Callable[[], Ticket]) -> None:
    granted = new_ticket()

    running = granted.grant(STAY, 3.0)

    assert granted.granted.result() is running is granted.phase
    assert running == RUNNING


def test_a_request_whose_work_is_over_has_ended(new_ticket: Callable[[], Ticket]) -> None:
    served, broken = new_ticket(), new_ticket()
    for each in (served, broken):
        each.grant(STAY, 3.0)

    served.finish(well=True)
    broken.finish(well=False)

    assert (served.phase, broken.phase) == (Ended(End.SERVED), Ended(End.BROKEN_OFF))


def test_a_refused_request_wakes_with_the_error(new_ticket: Callable[[], Ticket]) -> None:
    refused, error = new_ticket(), ModelNotFoundError("gone")

    refused.fail(error)

    assert refused.granted.exception() is error
    refused.abandon()
    assert refused.phase == Ended(End.REFUSED)


def test_a_request_is_settled_once(new_ticket: Callable[[], Ticket]) -> None:
    granted, refused, left = (new_ticket() for _ in range(3))
    granted.grant(STAY, 0.0)
    refused.fail(ModelNotFoundError("first"))
    left.abandon()

    for each in (granted, refused, left):
        with pytest.raises(IllegalTransitionError):
            each.grant(STAY, 0.0)
        with pytest.raises(IllegalTransitionError):
            each.fail(ModelNotFoundError("late"))

    assert str(refused.granted.exception()) == "first"
    assert left.granted.cancelled()


@pytest.mark.parametrize("how", [End.BROKEN_OFF, End.REFUSED])
def test_a_client_that_leaves_as_it_is_woken_is_not_woken_a_second_time(
    new_ticket: Callable[[], Ticket], how: End
) -> None:
    """The task was cancelled, and with it the future, but it has not gone on yet."""
    leaving = new_ticket()
    leaving.granted.cancel()

    if how is End.REFUSED:
        leaving.fail(ModelNotFoundError("gone"))
    else:
        leaving.grant(STAY, 0.0)

    assert leaving.granted.cancelled()
    leaving.abandon()
    assert leaving.phase == Ended(how)
