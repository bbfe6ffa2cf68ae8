# SPDX-License-Identifier: GPL-3.0-only
"""How many models a decision looks at: a number that does not grow with those in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from modeld.serving.scheduling.rehearsal import rehearse
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.ticket import Ticket
from tests.support.serving.desk import Desk, runs

NewDesk = Callable[..., Desk]


class Counted(dict[Any, Any]):
    """Counts what is taken from it one after the other."""

    def __init__(self, members: Mapping[Any, Any], looks: list[object]) -> None:
        super().__init__(members)
        self._looks = looks

    def __iter__(self) -> Iterator[Any]:
        for each in super().__iter__():
            self._looks.append(each)
            yield each

    def items(self) -> Any:
        return ((each, self[each]) for each in self)

    def values(self) -> Any:
        return (self[each] for each in self)


def counted(desk: Desk) -> list[object]:
    """Return the list that gets whatever is looked at from now on."""
    looks: list[object] = []
    scheduler = desk.scheduler
    for name, members in vars(scheduler.index).items():
        setattr(scheduler.index, name, Counted(members, looks))
    return looks


def served(desk: Desk, entry: ModelEntry) -> Ticket:
    """Have a request come, run and leave, with the decisions that the pool makes."""
    ticket = desk.arrive(entry)
    desk.scheduler.decide(desk.clock.now_s)
    assert runs(ticket)
    desk.scheduler.leave(entry, ticket, desk.clock.now_s)
    desk.scheduler.decide(desk.clock.now_s)
    return ticket


def looks_of_a_request(desk: Desk, resident: int, *, max_idle_s: float, waits: bool) -> int:
    models = [
        desk.resident(f"m{number}", 100, slots=2, max_idle_s=max_idle_s)
        for number in range(resident)
    ]
    if waits:
        for each in models:
            desk.arrive(each)
        desk.arrive(desk.entry("waits", 100))
        desk.scheduler.decide(desk.clock.now_s)
        desk.clock.now_s += 2.0  # the minimum residence of all is over
        served(desk, models[0])  # its term begins
    looks = counted(desk)
    served(desk, models[0])
    return len(looks)


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("max_idle_s", [60.0, float("inf")])
def test_a_request_looks_at_no_more_models_however_many_are_in_memory(
    new_desk: NewDesk, max_idle_s: float, waits: bool
) -> None:
    few, many = (
        looks_of_a_request(
            new_desk(budget_mb=100 * resident, min_residence_s=1.0),
            resident,
            max_idle_s=max_idle_s,
            waits=waits,
        )
        for resident in (4, 40)
    )
    assert few > 0, "nothing is counted"
    assert many == few


def test_a_plan_copies_no_more_models_however_many_are_in_memory(
    new_desk: NewDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = new_desk(budget_mb=4000)
    models = [desk.resident(f"m{number}") for number in range(40)]
    desk.scheduler.decide(desk.clock.now_s)
    copied: list[object] = []
    kept = {each: each.instances[0].phase for each in models}

    def noted(self: ModelEntry, _memo: object) -> Any:
        copied.append(self)
        monkeypatch.delattr(ModelEntry, "__deepcopy__")
        try:
            from copy import deepcopy

            return deepcopy(self, _memo)  # type: ignore[arg-type]
        finally:
            monkeypatch.setattr(ModelEntry, "__deepcopy__", noted, raising=False)

    monkeypatch.setattr(ModelEntry, "__deepcopy__", noted, raising=False)
    new = desk.entry("new", 300)
    plan = rehearse(desk.scheduler, new, desk.clock.now_s).plan
    assert len(plan.evicts) == 3
    assert copied == [new]
    assert {each: each.instances[0].phase for each in models} == kept, "what left is back"
