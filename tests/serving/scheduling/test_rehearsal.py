# SPDX-License-Identifier: GPL-3.0-only
"""A rehearsal says what then happens, and changes nothing."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Never

import pytest
from msgspec.structs import replace

from modeld.errors import ModeldError
from modeld.serving.scheduling.rehearsal import rehearse
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Closing, Leaving, Loading, Ready, Withdrawn
from modeld.serving.state.ticket import Ticket
from modeld.status import ModelPlan, PlanOutcome
from modeld.values import FileStamp
from tests.support.serving.desk import Desk, Told, error_of, runs
from tests.support.serving.fakes import MIB, FakeEngine, an_entry

NewDesk = Callable[..., Desk]

SIZES_MB = {"a": 100, "b": 150, "c": 60, "d": 400, "e": 200}
BUDGET_MB = 260


def plan(desk: Desk, entry: ModelEntry) -> ModelPlan:
    return rehearse(desk.scheduler, entry, desk.clock.now_s + 0.001).plan


def outcome(desk: Desk, entry: ModelEntry) -> PlanOutcome:
    return plan(desk, entry).outcome


def test_a_model_that_fits_is_loaded_at_once(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    assert plan(desk, desk.entry("a")) == ModelPlan(
        model="a", outcome=PlanOutcome.LOADS, needed_bytes=100 * MIB, wait_s=1.0
    )


def test_a_model_in_memory_is_resident_whether_it_has_a_slot_or_not(new_desk: NewDesk) -> None:
    desk = new_desk()
    entry = desk.resident("a")
    assert (plan(desk, entry).outcome, plan(desk, entry).wait_s) == ("resident", 0.0)
    desk.request(entry)
    assert (plan(desk, entry).outcome, plan(desk, entry).wait_s) == (
        "resident",
        pytest.approx(1.0, rel=0.01),
    )


def test_who_would_go_is_named(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300)
    for model in ("x", "y", "z"):
        desk.resident(model)
    said = plan(desk, desk.entry("a", 150))
    assert (said.outcome, said.evicts, said.short_bytes) == ("evicts", ("x", "y"), 150 * MIB)


def test_a_model_waits_while_others_work(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    desk.busy("b")
    said = plan(desk, desk.entry("a"))
    assert (said.outcome, said.evicts, said.short_bytes) == ("waits", (), 100 * MIB)
    assert said.wait_s is not None
    assert said.wait_s > 0


class Uncopyable:
    """Something of an entry that a rehearsal has no reason to copy."""

    def __deepcopy__(self, memo: object) -> Never:
        raise AssertionError("a rehearsal copies what no decision changes")


@pytest.mark.parametrize("is_short", [False, True])
def test_of_idle_models_only_what_a_decision_changes_is_copied(
    new_desk: NewDesk, *, is_short: bool
) -> None:
    desk = new_desk(budget_mb=300 if is_short else 400)
    for model in ("x", "y", "z"):
        desk.resident(model).tally = Uncopyable()  # type: ignore[assignment]
    said = plan(desk, desk.entry("a", 100))
    assert said.outcome == ("evicts" if is_short else "loads")
    assert all(desk.scheduler.entries[model].is_idle for model in ("x", "y", "z"))


def test_a_model_on_its_way_into_memory_or_out_of_it(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    a = desk.entry("a")
    desk.request(a)
    assert outcome(desk, a) == "loading"
    desk.loaded(a)
    desk.unload(a)
    assert outcome(desk, a) == "waits"


def test_a_model_that_can_never_fit_is_short_of_what_it_lacks(new_desk: NewDesk) -> None:
    said = plan(desk := new_desk(budget_mb=100), desk.entry("a", 150))
    assert (said.outcome, said.short_bytes) == ("never", 50 * MIB)
    assert said.reason == "model_exceeds_budget"
    assert said.message is not None
    assert "50 MiB more" in said.message


def test_what_would_be_refused_now_says_why(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    pinned = desk.resident("pinned")
    pinned.pinned = True
    desk.decide()
    said = plan(desk, desk.entry("a"))
    assert (said.outcome, said.reason) == ("refused", "budget_exceeded")
    full = desk.entry("full", 10, depth=0)
    pinned.pinned = False
    desk.decide()
    desk.request(full)
    assert plan(desk, full).reason == "queue_full"


def test_a_need_that_is_open_is_said_to_be(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    entry = desk.entry("a", 150, measurable=True)
    said = rehearse(desk.scheduler, entry, desk.clock.now_s)
    assert (said.plan.outcome, said.is_open) == ("waits", True)
    assert not entry.need.is_being_measured


def test_a_model_that_nobody_has_asked_for_is_not_remembered(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=100)
    stranger = an_entry(desk.backend, "stranger")
    assert outcome(desk, stranger) == "loads"
    assert "stranger" not in desk.scheduler.entries
    assert not stranger.instances


def test_what_lives_in_free_memory_does_not_go_for_a_plan(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300)
    told: list[str] = []
    desk.scheduler.ledger.on_taken = told.append
    assert outcome(desk, desk.entry("a")) == "loads"
    assert told == []


def test_a_file_that_has_changed_is_planned_for_as_it_is_now(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300)
    old = desk.resident("a", 100)
    assert outcome(desk, an_entry(desk.backend, "a", size_mb=400)) == "resident"
    changed = an_entry(desk.backend, "a", size_mb=400)
    changed.spec = replace(
        changed.spec, stamp=FileStamp(device=1, inode=1, size_bytes=1, mtime_ns=1)
    )
    assert outcome(desk, changed) == "waits"
    assert (old.need.size_bytes, outcome(desk, old)) == (100 * MIB, "resident")


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("has_gpus", [False, True])
def test_what_is_planned_is_what_then_happens(
    new_desk: NewDesk,
    seed: int,
    has_gpus: bool,
) -> None:
    walk = a_walk(new_desk, seed, has_gpus=has_gpus)
    outcomes = set()
    for _ in range(120):
        walk.step()
        model = walk.random.choice(list(SIZES_MB))
        planned = plan(walk.desk, walk.entry(model))
        assert walk.asked_for(model) is planned.outcome
        if planned.outcome is PlanOutcome.EVICTS:
            assert {each.spec.id for each in walk.entry(model).victims} == set(planned.evicts)
        else:
            assert planned.evicts == ()
        outcomes.add(planned.outcome)
    assert len(outcomes) > 4, "the walk has seen too little"


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("has_gpus", [False, True])
def test_a_rehearsal_changes_nothing(new_desk: NewDesk, seed: int, has_gpus: bool) -> None:
    """Two walks make the same steps, and in one of them everything is rehearsed in between."""
    quiet, rehearsed = (a_walk(new_desk, seed, has_gpus=has_gpus) for _ in range(2))
    for _ in range(120):
        quiet.step()
        rehearsed.step()
        for entry in list(rehearsed.desk.scheduler.entries.values()):
            plan(rehearsed.desk, entry)
        assert quiet.seen() == rehearsed.seen()
        rehearsed.desk.scheduler.check()


GPUS_MB = {"gpu0": 150, "gpu1": 120}
ON_GPUS = [{"gpu0": 100}, {"gpu0": 60, "gpu1": 60}, {}, {"gpu1": 110}, {"gpu1": 130}]


def a_walk(new_desk: NewDesk, seed: int, *, has_gpus: bool) -> Walk:
    gpus_mb = GPUS_MB if has_gpus else {}
    budget = {"budget_mb": BUDGET_MB, "min_residence_s": 1.0, "max_overtake_s": 3.0}
    return Walk(new_desk(gpus_mb=gpus_mb, **budget), seed, ON_GPUS if has_gpus else [{}])


class Walk:
    """What happens to a few models, by chance."""

    def __init__(self, desk: Desk, seed: int, on_gpus: Sequence[Mapping[str, int]]) -> None:
        self.desk = desk
        self._on_gpus = dict(zip(SIZES_MB, itertools.cycle(on_gpus), strict=False))
        self.random = random.Random(seed)
        self._tickets: list[tuple[ModelEntry, Ticket]] = []

    def entry(self, model: str) -> ModelEntry:
        known = self.desk.scheduler.entries.get(model)
        return known or self.desk.entry(
            model, SIZES_MB[model], on_gpus=self._on_gpus[model], slots=2, depth=3
        )

    def step(self) -> None:
        steps = (self._ask, self._ask, self._ask, self._end_load, self._end_load)
        self.random.choice(
            (*steps, self._leave, self._leave, self._close, self._close, self._odd)
        )()
        self.desk.decide(self.random.choice((0.0, 0.1, 2.0)))

    def asked_for(self, model: str) -> PlanOutcome:
        """Return what a request for the model brings about."""
        entry = self.entry(model)
        try:
            ticket = self.desk.arrive(entry)
        except ModeldError as exc:
            return self._refused(exc.code)
        self._tickets.append((entry, ticket))
        told = self.desk.decide()
        error = error_of(ticket)
        if isinstance(error, ModeldError):
            return self._refused(error.code)
        return self._outcome(entry, ticket, told)

    def seen(self) -> object:
        scheduler = self.desk.scheduler
        entries = [
            (
                name,
                entry.claim_rank,
                entry.start_tag,
                len(entry.queue.waiting),
                len(entry.queue.running),
                [(type(each.phase), each.held_bytes) for each in entry.instances],
                sorted(each.spec.id for each in entry.victims),
            )
            for name, entry in scheduler.entries.items()
        ]
        told = [runs(ticket) or repr(error_of(ticket)) for _, ticket in self._tickets]
        return entries, told, repr(scheduler.ledger.held)

    @staticmethod
    def _refused(code: str) -> PlanOutcome:
        return PlanOutcome.NEVER if code == "model_exceeds_budget" else PlanOutcome.REFUSED

    @staticmethod
    def _outcome(entry: ModelEntry, ticket: Ticket, told: Told) -> PlanOutcome:
        if entry in told.loads:
            return PlanOutcome.LOADS
        phases = [each.phase for each in entry.instances if not isinstance(each.phase, Leaving)]
        if runs(ticket) or any(isinstance(phase, Ready) for phase in phases):
            return PlanOutcome.RESIDENT
        if phases:
            return PlanOutcome.LOADING
        return PlanOutcome.EVICTS if entry.victims and not entry.instances else PlanOutcome.WAITS

    def _ask(self) -> None:
        self.asked_for(self.random.choice(list(SIZES_MB)))

    def _instances(self, *kinds: type) -> list[tuple[ModelEntry, Instance]]:
        entries = self.desk.scheduler.entries.values()
        found = [(entry, each) for entry in entries for each in entry.instances]
        return [(entry, each) for entry, each in found if isinstance(each.phase, kinds)]

    def _end_load(self) -> None:
        for entry, instance in self._instances(Loading, Withdrawn)[:1]:
            grown = self.random.choice((0, 0, 30)) * MIB
            engine = FakeEngine(
                slots=2,
                held_bytes=instance.held_bytes + grown,
                held_on_gpus={
                    name: size + grown // 2 for name, size in instance.held.on_gpus.items()
                },
            )
            self.desk.scheduler.loaded(entry, instance, engine, self.desk.clock.now_s)

    def _leave(self) -> None:
        running = [(entry, each) for entry, each in self._tickets if each in entry.queue.running]
        for entry, ticket in running[:1]:
            self.desk.scheduler.leave(entry, ticket, self.desk.clock.now_s)

    def _close(self) -> None:
        for entry, instance in self._instances(Closing)[:1]:
            self.desk.scheduler.gone(entry, instance, self.desk.clock.now_s)

    def _odd(self) -> None:
        for entry, _ in self._instances(Ready)[:1]:
            entry.pinned = self.random.random() < 0.3
            if self.random.random() < 0.3:
                self.desk.unload(entry)
