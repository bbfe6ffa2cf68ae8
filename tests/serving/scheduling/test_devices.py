# SPDX-License-Identifier: GPL-3.0-only
"""Main memory and two GPUs: what each is short of, who goes for it, and who does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from modeld import Candidate
from modeld.device_bytes import DeviceBytes
from modeld.errors import BudgetExceededError, ModelExceedsBudgetError
from modeld.serving.scheduling.rehearsal import rehearse
from modeld.status import EvictionReason, InstanceState, PlanOutcome
from tests.support.serving.desk import (
    Desk,
    drained,
    error_of,
    instance_of,
    owner_of,
    reason_of,
    runs,
    state_of,
)
from tests.support.serving.fakes import MIB, Oldest

NewDesk = Callable[..., Desk]


class Asked(Oldest):
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.candidates: list[tuple[str, str, int]] = []
        self.needed: list[int] = []

    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        self.candidates += [(each.model, each.device, each.held_bytes) for each in candidates]
        self.needed.append(needed_bytes)
        return super().choose(candidates, needed_bytes)


def test_models_on_different_devices_are_in_memory_at_once(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, gpus_mb={"gpu0": 100, "gpu1": 100})
    on_cpu = desk.resident("cpu", 90)
    first = desk.resident("first", 1, on_gpus={"gpu0": 90})
    second = desk.resident("second", 1, on_gpus={"gpu1": 90})
    assert all(each.is_idle for each in (on_cpu, first, second))
    assert desk.scheduler.ledger.held == DeviceBytes(92 * MIB, {"gpu0": 90 * MIB, "gpu1": 90 * MIB})


def test_a_victim_holds_something_on_the_device_that_is_short(new_desk: NewDesk) -> None:
    policy = Asked()
    desk = new_desk(budget_mb=100, gpus_mb={"gpu0": 100, "gpu1": 100}, policy=policy)
    oldest = desk.resident("oldest", 50)
    elsewhere = desk.resident("elsewhere", 5, on_gpus={"gpu1": 80})
    there = desk.resident("there", 5, on_gpus={"gpu0": 60, "gpu1": 10})
    desk.request(desk.entry("new", 5, on_gpus={"gpu0": 70}))
    assert drained(oldest, elsewhere, there) == ["there"]
    assert policy.candidates == [("there", "gpu0", 60 * MIB)]
    assert policy.needed == [30 * MIB]


def test_each_device_that_is_short_gets_its_victims_and_nobody_goes_for_nothing(
    new_desk: NewDesk,
) -> None:
    desk = new_desk(budget_mb=100, gpus_mb={"gpu0": 100, "gpu1": 100})
    first = desk.resident("first", 1, on_gpus={"gpu0": 50})
    second = desk.resident("second", 1, on_gpus={"gpu1": 50})
    third = desk.resident("third", 1, on_gpus={"gpu1": 50})
    both = desk.entry("both", 1, on_gpus={"gpu0": 80, "gpu1": 40})
    desk.request(both)
    assert drained(first, second, third) == ["first", "second"]
    assert [owner_of(each) for each in (first, second)] == ["both", "both"]
    desk.gone(first)
    assert not both.instances, "one device has what it needs, the other not yet"
    desk.gone(second)
    assert state_of(both) is InstanceState.LOADING


def test_who_frees_all_devices_makes_others_needless(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, gpus_mb={"gpu0": 100})
    small = desk.resident("small", 60)
    wide = desk.resident("wide", 40, on_gpus={"gpu0": 100})
    desk.request(desk.entry("new", 40, on_gpus={"gpu0": 100}))
    assert drained(small, wide) == ["wide"], "what it has of main memory is enough"


def test_bytes_that_leave_on_another_device_are_nobodys_to_count_on(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, gpus_mb={"gpu0": 100, "gpu1": 100})
    leaving, _ = desk.busy("leaving", 1, on_gpus={"gpu1": 100})
    desk.unload(leaving)
    idle = desk.resident("idle", 1, on_gpus={"gpu0": 100})
    desk.request(desk.entry("new", 1, on_gpus={"gpu0": 100}))
    assert owner_of(leaving) is None
    assert owner_of(idle) == "new"


@pytest.mark.parametrize(
    ("on_gpus", "size_mb", "says"),
    [
        ({"gpu0": 150}, 1, "needs 150 MiB on gpu0, 50 MiB more than the 100 MiB that gpu_budget"),
        ({"gpu0": 50}, 120, "needs 120 MiB, 20 MiB more than the 100 MiB that memory_budget_mb"),
        ({"gpu0": 101, "gpu1": 190}, 1, "needs 190 MiB on gpu1, 90 MiB more"),
    ],
)
def test_what_never_fits_is_refused_with_the_numbers_of_the_device_that_is_short(
    new_desk: NewDesk, on_gpus: dict[str, int], size_mb: int, says: str
) -> None:
    desk = new_desk(budget_mb=100, gpus_mb={"gpu0": 100, "gpu1": 100})
    other = desk.resident("other", 50)
    with pytest.raises(ModelExceedsBudgetError, match=says):
        desk.request(desk.entry("new", size_mb, on_gpus=on_gpus))
    assert other.is_idle, "nobody goes for what never fits"


def test_pinned_models_are_in_the_way_on_their_own_device_only(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, gpus_mb={"gpu0": 100, "gpu1": 100})
    pinned = desk.resident("pinned", 1, on_gpus={"gpu0": 90})
    pinned.pinned = True
    desk.decide()
    ticket = desk.request(desk.entry("here", 1, on_gpus={"gpu0": 20}))
    error = error_of(ticket)
    assert isinstance(error, BudgetExceededError)
    assert "needs 20 MiB on gpu0, and the pinned models hold 90 MiB" in error.message
    there = desk.entry("there", 1, on_gpus={"gpu1": 100})
    desk.request(there)
    assert state_of(there) is InstanceState.LOADING


def test_what_grows_on_a_gpu_takes_its_bytes_there(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, gpus_mb={"gpu0": 100, "gpu1": 100})
    other = desk.resident("other", 10, on_gpus={"gpu0": 30})
    bystander = desk.resident("bystander", 10, on_gpus={"gpu1": 100})
    grows = desk.entry("grows", 1, on_gpus={"gpu0": 60})
    ticket = desk.request(grows)
    desk.loaded(grows, held_mb=1, on_gpus={"gpu0": 90})
    assert drained(other, bystander) == ["other"]
    assert not runs(ticket), "its bytes are not counted yet"
    desk.gone(other)
    assert runs(ticket)
    assert instance_of(grows).held.on("gpu0") == 90 * MIB


def test_a_limit_that_falls_on_one_device_sends_away_who_is_there(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, moves=True, gpus_mb={"gpu0": 100, "gpu1": 100})
    first = desk.resident("first", 10, on_gpus={"gpu0": 50})
    second = desk.resident("second", 10, on_gpus={"gpu0": 50})
    other = desk.resident("other", 10, on_gpus={"gpu1": 100})
    desk.limit(60, "gpu0")
    assert drained(first, second, other) == ["first"]
    assert reason_of(first) is EvictionReason.MEMORY_PRESSURE
    new = desk.entry("new", 10)
    desk.request(new)
    assert state_of(new) is InstanceState.LOADING, "main memory is not short"


def test_what_is_overdue_keeps_what_it_lacks_and_nothing_else(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, gpus_mb={"gpu0": 100, "gpu1": 100}, max_overtake_s=10.0)
    busy, _ = desk.busy("busy", 1, on_gpus={"gpu0": 100}, slots=2)
    elsewhere = desk.resident("elsewhere", 1, on_gpus={"gpu1": 60})
    big = desk.entry("big", 1, on_gpus={"gpu0": 90, "gpu1": 30})
    desk.request(big)
    desk.request(busy)
    desk.decide(after_s=11.0)
    small = desk.entry("small", 1, on_gpus={"gpu1": 20})
    desk.request(small)
    assert not small.instances, "10 of gpu1 are left beside what the overdue one needs there"
    tiny = desk.entry("tiny", 1, on_gpus={"gpu1": 10})
    desk.request(tiny)
    assert state_of(tiny) is InstanceState.LOADING
    assert elsewhere is not None


def test_a_plan_says_what_is_short_on_which_device(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100, gpus_mb={"gpu0": 100})
    desk.resident("old", 10, on_gpus={"gpu0": 80})
    new = desk.entry("new", 95, on_gpus={"gpu0": 50})
    plan = rehearse(desk.scheduler, new, desk.clock.now_s).plan
    assert plan.outcome is PlanOutcome.EVICTS
    assert plan.short_bytes == (5 + 30) * MIB
    assert plan.short_on_gpus == {"gpu0": 30 * MIB}
    never = desk.entry("never", 1, on_gpus={"gpu0": 120})
    plan = rehearse(desk.scheduler, never, desk.clock.now_s).plan
    assert (plan.outcome, plan.short_on_gpus) == (PlanOutcome.NEVER, {"gpu0": 20 * MIB})


def test_a_gpu_that_nobody_counts_is_not_limited(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    far = desk.resident("far", 1, on_gpus={"gpu7": 1 << 20})
    assert far.is_idle
    assert far.status(desk.clock.now_s).held_on_gpus == {"gpu7": MIB << 20}
