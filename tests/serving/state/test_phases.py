# SPDX-License-Identifier: GPL-3.0-only
"""The state machine of instances: every way through it, and what no way leads to."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.device_bytes import NOTHING
from modeld.serving.state import phases
from modeld.serving.state.phases import (
    Closing,
    Discarded,
    Draining,
    Leaving,
    Loaded,
    Loading,
    Phase,
    Ready,
    Withdrawn,
)
from modeld.serving.state.residence import Residence
from modeld.serving.state.ticket import IllegalTransitionError, Running, Ticket
from modeld.status import EvictionReason, InstanceState
from tests.support.serving.fakes import FakeEngine

CLAIM = EvictionReason.MAKE_ROOM
UNLOAD = EvictionReason.UNLOAD_REQUESTED
DEATH = EvictionReason.WORKER_EXITED

ENGINE = FakeEngine(held_bytes=70)
STAY = Residence(ENGINE, started_s=1.0, ready_s=2.0)

ONE_OF_EACH: tuple[Phase, ...] = (
    Loading(1.0),
    Withdrawn(1.0, UNLOAD),
    Loaded(1.0, STAY),
    Ready(STAY),
    Draining(STAY, CLAIM),
    Draining(STAY, UNLOAD),
    Discarded(STAY, CLAIM),
    Closing(STAY, CLAIM),
)

TRANSITIONS: dict[str, Callable[[Phase], Phase]] = {
    "end_load": lambda phase: phases.end_load(phase, ENGINE, 2.0),
    "admit": phases.admit,
    "claim": lambda phase: phases.leave(phase, CLAIM, {}),
    "unload": lambda phase: phases.leave(phase, UNLOAD, {}),
    "die": phases.die,
    "take_back": phases.take_back,
    "close": phases.close,
    "give_to": lambda phase: phases.give_to(phase, "b"),
}

FOLLOWS: dict[str, dict[type[Phase], type[Phase]]] = {
    "end_load": {Loading: Loaded, Withdrawn: Discarded},
    "admit": {Loaded: Ready},
    "claim": {
        Loading: Withdrawn,
        Withdrawn: Withdrawn,
        Loaded: Discarded,
        Ready: Draining,
        Draining: Draining,
        Discarded: Discarded,
        Closing: Closing,
    },
    "die": {Loaded: Discarded, Ready: Draining, Draining: Draining, Discarded: Discarded},
    "take_back": {Draining: Ready},
    "close": {Draining: Closing, Discarded: Closing},
    "give_to": {
        Withdrawn: Withdrawn,
        Draining: Draining,
        Discarded: Discarded,
        Closing: Closing,
    },
}
FOLLOWS["unload"] = FOLLOWS["claim"]


@pytest.mark.parametrize("phase", ONE_OF_EACH, ids=lambda phase: type(phase).__name__)
@pytest.mark.parametrize("name", TRANSITIONS)
def test_each_transition_leads_where_the_diagram_says_and_every_other_is_refused(
    name: str, phase: Phase
) -> None:
    expected = FOLLOWS[name].get(type(phase))
    if name == "take_back" and not phases.may_return(phase):
        expected = None

    if expected is None:
        with pytest.raises(IllegalTransitionError, match=type(phase).__name__):
            TRANSITIONS[name](phase)
    else:
        assert type(TRANSITIONS[name](phase)) is expected


@dataclass
class Walk:
    """A life of an instance, step by step; illegal steps are refused and change nothing."""

    phase: Phase = field(default_factory=lambda: Loading(1.0))
    seen: list[Phase] = field(default_factory=list)

    def step(self, name: str) -> bool:
        self.seen.append(self.phase)
        before = self.phase
        try:
            self.phase = TRANSITIONS[name](before)
        except IllegalTransitionError:
            assert self.phase is before
            return False
        return True


walks = st.lists(st.sampled_from(sorted(TRANSITIONS)), max_size=30)


def residence_in(phase: Phase) -> Residence | None:
    return None if isinstance(phase, Loading | Withdrawn) else phase.residence


@given(walks)
def test_no_step_loses_or_exchanges_what_is_in_memory(names: list[str]) -> None:
    walk = Walk()
    for name in names:
        walk.step(name)
        had, has = residence_in(walk.seen[-1]), residence_in(walk.phase)
        if had is not None:
            assert has is had, "the engine of one instance is one engine"
        elif has is not None:
            assert name == "end_load"
            assert has.load_seconds == 1.0, "the load's beginning was kept until its end"


@given(walks)
def test_nothing_leads_out_of_closing(names: list[str]) -> None:
    walk = Walk()
    for name in names:
        was_closing = isinstance(walk.phase, Closing)
        reason = walk.phase.reason if isinstance(walk.phase, Leaving) else None
        walk.step(name)
        if was_closing:
            assert isinstance(walk.phase, Closing)
            assert walk.phase.reason is reason


@given(walks)
def test_what_has_begun_to_leave_returns_only_from_a_claim_that_was_given_up(
    names: list[str],
) -> None:
    walk = Walk()
    for name in names:
        before = walk.phase
        walk.step(name)
        if isinstance(before, Leaving) and not isinstance(walk.phase, Leaving):
            assert name == "take_back"
            assert isinstance(before, Draining)
            assert before.reason is CLAIM
            assert walk.phase == Ready(before.residence)


@given(walks)
def test_only_a_claim_yields_to_another_reason_and_only_a_death_to_none(names: list[str]) -> None:
    walk = Walk()
    for name in names:
        before = walk.phase
        walk.step(name)
        if isinstance(before, Leaving) and isinstance(walk.phase, Leaving):
            if walk.phase.reason is not before.reason:
                assert name == "die" or (name == "unload" and before.reason is CLAIM)
            assert name == "give_to" or walk.phase.owner == before.owner


@given(walks)
def test_requests_are_taken_only_after_the_load_has_ended_and_its_bytes_are_counted(
    names: list[str],
) -> None:
    walk = Walk()
    done: list[str] = []
    for name in names:
        if walk.step(name):
            done.append(name)
        if isinstance(walk.phase, Ready | Draining):
            assert "end_load" in done
            assert "admit" in done[done.index("end_load") :]


@given(walks)
def test_a_load_that_runs_is_never_closed_and_its_owner_is_known_from_then_on(
    names: list[str],
) -> None:
    walk = Walk()
    for name in names:
        before = walk.phase
        walk.step(name)
        if isinstance(before, Loading | Withdrawn):
            assert not isinstance(walk.phase, Closing | Draining | Ready)
        assert (phases.owner_of(walk.phase) is None) or isinstance(walk.phase, Leaving)


@given(walks)
def test_the_public_state_says_where_the_instance_is(names: list[str]) -> None:
    walk = Walk()
    for name in names:
        walk.step(name)
        state = phases.public_state(walk.phase)
        assert (state is InstanceState.DRAINING) == isinstance(walk.phase, Leaving)
        assert (state is InstanceState.READY) == isinstance(walk.phase, Ready)
        assert (state is InstanceState.LOADING) == isinstance(walk.phase, Loading | Loaded)


@given(walks)
def test_the_properties_agree_with_what_the_phase_has(names: list[str]) -> None:
    walk = Walk()
    for name in names:
        walk.step(name)
        residence = residence_in(walk.phase)
        assert phases.measured(walk.phase) == (residence.measured if residence else NOTHING)
        assert phases.engines(walk.phase) == ((residence.engine,) if residence else ())


def test_the_requests_that_ran_on_it_are_what_a_draining_instance_waits_for() -> None:
    loop = asyncio.new_event_loop()
    try:
        mine, other = (Ticket(0.0, loop.create_future()) for _ in range(2))
        replica = Residence(FakeEngine(), started_s=0.0, ready_s=0.0)
        running = {mine: Running(STAY, 3.0), other: Running(replica, 3.0)}

        leaving = phases.leave(Ready(STAY), CLAIM, running)

        assert leaving == Draining(STAY, CLAIM, frozenset({mine}))
        assert phases.leave(leaving, UNLOAD, {}) == Draining(STAY, UNLOAD, frozenset({mine}))
    finally:
        loop.close()


def test_a_death_goes_over_every_other_reason() -> None:
    assert phases.die(Ready(STAY)) == Draining(STAY, DEATH)
    assert phases.die(Draining(STAY, UNLOAD, owner="b")) == Draining(STAY, DEATH, owner="b")
    assert phases.die(Discarded(STAY, CLAIM, "b")) == Discarded(STAY, DEATH, "b")
    assert not phases.may_return(phases.die(Draining(STAY, CLAIM)))
