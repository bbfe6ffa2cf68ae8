# SPDX-License-Identifier: GPL-3.0-only
"""Eviction policies are plugins, and plugins may be wrong: that is said, and nobody hangs."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from modeld import Candidate, EvictionPolicy
from modeld.errors import BudgetExceededError
from modeld.plugins.faults import only_logged
from modeld.plugins.guarded_policy import GuardedPolicy
from modeld.status import InstanceState
from tests.support.serving.desk import Desk, drained, error_of, state_of
from tests.support.serving.fakes import MIB, Oldest

NewDesk = Callable[..., Desk]


class Whim(EvictionPolicy):
    """Chooses what the test says, and notes what it was asked."""

    name = "whim"

    def __init__(self, choice: Callable[[Sequence[Candidate], int], Any]) -> None:
        self.mood = choice
        self.asked: list[tuple[Sequence[Candidate], int]] = []

    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Any:
        self.asked.append((candidates, needed_bytes))
        return self.mood(candidates, needed_bytes)


def boom(_candidates: Sequence[Candidate], _needed: int) -> Any:
    raise RuntimeError("I have no opinion")


def stranger(candidates: Sequence[Candidate], _needed: int) -> Any:
    unknown = Candidate(
        model="stranger", held_bytes=1 << 40, last_used_s=0, loaded_s=0, load_seconds=0
    )
    return [*candidates, unknown]


def nameless(candidates: Sequence[Candidate], _needed: int) -> Any:
    return [*candidates, msgspec.structs.replace(candidates[0], model=None)]


def guarded(policy: Whim, fallback: EvictionPolicy | None = None) -> GuardedPolicy:
    """Return the policy as the service has it."""
    return GuardedPolicy(policy, fallback, only_logged)


LIES: dict[str, Callable[[Sequence[Candidate], int], Any]] = {
    "too few bytes": lambda candidates, _needed: candidates[:1],
    "an unknown model": stranger,
    "a model without a name": nameless,
    "an exception": boom,
    "none": lambda _candidates, _needed: None,
    "no candidates at all": lambda _candidates, _needed: [object()],
    "nobody although there are enough": lambda _candidates, _needed: [],
}


@pytest.mark.parametrize("lie", LIES)
def test_a_policy_that_lies_is_complained_about_and_evicts_nobody(
    new_desk: NewDesk, lie: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = new_desk(budget_mb=200, policy=guarded(Whim(LIES[lie])))
    a, b = desk.resident("a"), desk.resident("b")
    desk.arrive(desk.entry("big", 200))

    decision = desk.decide()

    assert drained(a, b) == []
    assert decision.loads == []
    assert len(caplog.messages) == 1
    assert "'whim'" in caplog.messages[0]


@pytest.mark.parametrize("lie", LIES)
def test_where_a_policy_lies_another_decides(new_desk: NewDesk, lie: str) -> None:
    desk = new_desk(budget_mb=200, policy=guarded(Whim(LIES[lie]), Oldest()))
    a, b = desk.resident("a"), desk.resident("b")
    desk.arrive(desk.entry("big", 200))

    desk.decide()

    assert drained(a, b) == ["a", "b"]


@pytest.mark.parametrize("lie", LIES)
def test_a_policy_that_lies_holds_up_nobody_who_needs_no_room(new_desk: NewDesk, lie: str) -> None:
    desk = new_desk(budget_mb=300, policy=guarded(Whim(LIES[lie])))
    desk.resident("a")
    desk.resident("b")
    desk.arrive(desk.entry("big", 300))
    small = desk.entry("small")
    desk.arrive(small)

    assert desk.decide().loads == [small]


@pytest.mark.parametrize("lie", LIES)
def test_a_model_that_has_grown_under_a_policy_that_lies_is_refused_at_once(
    new_desk: NewDesk, lie: str
) -> None:
    desk = new_desk(budget_mb=300, policy=guarded(Whim(LIES[lie])))
    desk.resident("a")
    desk.resident("b")
    c = desk.entry("c")
    ticket = desk.request(c)

    decision = desk.loaded(c, held_mb=300)

    assert isinstance(error_of(ticket), BudgetExceededError)
    assert decision.closes == [c]


def test_naming_one_model_twice_does_not_make_it_count_twice(new_desk: NewDesk) -> None:
    twice = Whim(lambda candidates, _needed: [candidates[0]] * 2)
    desk = new_desk(budget_mb=200, policy=guarded(twice))
    a, b = desk.resident("a"), desk.resident("b")
    desk.arrive(desk.entry("big", 200))

    desk.decide()

    assert drained(a, b) == []


def test_a_policy_that_was_wrong_once_is_asked_again(
    new_desk: NewDesk, caplog: pytest.LogCaptureFixture
) -> None:
    policy = Whim(boom)
    desk = new_desk(budget_mb=100, policy=guarded(policy))
    a = desk.resident("a")
    desk.arrive(desk.entry("b"))
    desk.decide()
    assert drained(a) == []
    assert "'whim' raised RuntimeError: I have no opinion" in caplog.text

    policy.mood = lambda candidates, _needed: candidates
    desk.decide()
    assert drained(a) == ["a"]


def test_a_policy_may_be_generous(new_desk: NewDesk) -> None:
    generous = Whim(lambda candidates, _needed: candidates)
    desk = new_desk(budget_mb=200, policy=guarded(generous))
    a, b = desk.resident("a"), desk.resident("b")
    desk.arrive(desk.entry("c"))

    desk.decide()

    assert drained(a, b) == ["a", "b"]


def test_a_policy_is_not_asked_where_all_idle_models_together_are_not_enough(
    new_desk: NewDesk,
) -> None:
    policy = Whim(lambda candidates, _needed: candidates)
    desk = new_desk(budget_mb=200, policy=policy)
    desk.busy("busy")
    idle = desk.resident("idle")
    desk.arrive(desk.entry("big", 200))

    assert desk.decide().closes == []
    assert policy.asked == []
    assert state_of(idle) is InstanceState.READY


def test_a_policy_sees_idle_models_with_their_sizes_ages_and_requests(new_desk: NewDesk) -> None:
    policy = Whim(lambda candidates, _needed: candidates)
    desk = new_desk(budget_mb=250, policy=policy)
    a = desk.entry("a", 80)
    desk.arrive(a, needs_slot=False)
    desk.decide()
    desk.clock.now_s += 2
    desk.loaded(a, held_mb=100)
    loaded_s = desk.clock.now_s
    desk.clock.now_s += 5
    desk.leave(a, desk.request(a))
    used_s = desk.clock.now_s
    busy, _running = desk.busy("busy")
    desk.request(desk.entry("c", 120))

    ((candidates, needed_bytes),) = policy.asked
    assert needed_bytes == 70 * MIB
    assert candidates == [
        Candidate(
            model="a",
            held_bytes=100 * MIB,
            last_used_s=used_s,
            loaded_s=loaded_s,
            load_seconds=2.0,
            uses=1,
            rate_per_s=a.demand.rate_per_s(desk.clock.now_s),
        )
    ]
    assert candidates[0].rate_per_s > 0
    assert state_of(busy) is InstanceState.READY
