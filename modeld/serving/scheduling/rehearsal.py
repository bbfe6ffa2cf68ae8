# SPDX-License-Identifier: GPL-3.0-only
"""Finds out on a copy of the scheduler what a request would bring about.

A second set of rules that only looks would say something else than what then happens, sooner or
later. So the scheduler itself decides, on a copy of what it knows, and nobody carries it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from modeld.device_bytes import NOTHING
from modeld.errors import ModeldError, ModelExceedsBudgetError
from modeld.serving.scheduling.scheduler import ModelScheduler
from modeld.serving.state import phases
from modeld.serving.state.budget import Ledger
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Draining, Leaving, Ready
from modeld.serving.state.ticket import Running, Ticket
from modeld.status import EvictionReason, ModelPlan, PlanOutcome


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A plan; it is ``open`` while a measurement may still say that the model needs less."""

    plan: ModelPlan
    is_open: bool


class _Unheard:
    """Stands in a copy for the future of a request, so that nobody is woken."""

    def __init__(self) -> None:
        self.error: ModeldError | None = None

    def done(self) -> bool:
        return False

    def set_result(self, running: Running) -> None:
        """Tell nobody."""

    def set_exception(self, error: ModeldError) -> None:
        self.error = error


def rehearse(scheduler: ModelScheduler, entry: ModelEntry, now_s: float) -> Rehearsed:
    """Return what a request for a model would bring about at ``now_s``, and change nothing.

    ``entry`` is the scheduler's own, or one that was made for the model as its file is now.
    """
    with _trial(scheduler, entry) as (trial, tried):
        return _rehearsed(trial, tried, now_s)


def _rehearsed(trial: ModelScheduler, tried: ModelEntry, now_s: float) -> Rehearsed:
    known = trial.entries.get(tried.spec.id)
    if known is not None and known is not tried:
        is_same = known.options == tried.options and known.backend is tried.backend
        if known.spec.version != tried.spec.version or not is_same:
            known.renew(tried)
            trial.drain(known, EvictionReason.FILE_CHANGED)
        tried = known
    # Both before the decision, which reserves what is free and counts this request too.
    free = trial.ledger.free
    forecast_s = trial.forecast_s(tried, now_s)
    was_absent = not tried.instances
    future: Any = _Unheard()
    ticket = Ticket(now_s, future)
    try:
        trial.join(tried, ticket, now_s)
    except ModeldError as exc:
        return Rehearsed(_refused(tried, exc, trial.ledger), is_open=False)
    trial.decide(now_s)
    if future.error is not None:
        return Rehearsed(_refused(tried, future.error, trial.ledger), is_open=False)
    outcome = placement(tried, ticket, was_absent=was_absent)
    evicts = outcome is PlanOutcome.EVICTS
    is_there = outcome in (PlanOutcome.RESIDENT, PlanOutcome.LOADING)
    short = NOTHING if is_there else tried.need.size.beyond(free)
    plan = ModelPlan(
        model=tried.spec.id,
        outcome=outcome,
        needed_bytes=tried.need.size_bytes,
        short_bytes=short.total_bytes,
        short_on_gpus=short.on_gpus,
        evicts=tuple(sorted(each.spec.id for each in tried.victims)) if evicts else (),
        wait_s=0.0 if isinstance(ticket.phase, Running) else forecast_s,
        fitting=tried.fitting,
    )
    return Rehearsed(plan, is_open=tried.need.is_being_measured)


def placement(entry: ModelEntry, ticket: Ticket, *, was_absent: bool) -> PlanOutcome:
    """Return where a request stands that has joined and about which was decided.

    ``was_absent`` says that nothing of its model was there before.
    """
    if isinstance(ticket.phase, Running):
        return PlanOutcome.RESIDENT
    staying = [each for each in entry.instances if not isinstance(each.phase, Leaving)]
    if any(isinstance(each.phase, Ready) for each in staying):
        return PlanOutcome.RESIDENT
    if staying:
        return PlanOutcome.LOADS if was_absent else PlanOutcome.LOADING
    # Claimed by one that grows, they go for what is loaded already.
    return PlanOutcome.EVICTS if entry.victims and not entry.instances else PlanOutcome.WAITS


def _refused(entry: ModelEntry, error: ModeldError, ledger: Ledger) -> ModelPlan:
    is_final = isinstance(error, ModelExceedsBudgetError)
    short = entry.need.size.beyond(ledger.ever) if is_final else NOTHING
    return ModelPlan(
        model=entry.spec.id,
        outcome=PlanOutcome.NEVER if is_final else PlanOutcome.REFUSED,
        needed_bytes=entry.need.size_bytes,
        short_bytes=short.total_bytes,
        short_on_gpus=short.on_gpus,
        wait_s=error.retry_after_s,
        reason=error.code,
        message=error.message,
    )


@contextmanager
def _trial(
    scheduler: ModelScheduler, entry: ModelEntry
) -> Iterator[tuple[ModelScheduler, ModelEntry]]:
    """Yield a scheduler that knows the same, and the entry in it; nothing is carried over back.

    Copied is what decisions change: the models that something happens to. Of all others, of which
    there may be hundreds, they change nothing but the phases of their instances, and these are put
    back. Nothing awaits meanwhile, so nobody sees them.
    """
    index = scheduler.index
    known = scheduler.entries.get(entry.spec.id, entry)  # it may be renewed by the entry
    moving = dict.fromkeys((entry, known, *index.unsettled()))
    settled = [(each, each.phase) for each, at in index.resident.items() if at not in moving]
    memo = dict(_shared(scheduler, moving))
    entries = {each: deepcopy(each, memo) for each in moving}
    copies: dict[Any, Any] = {**entries}
    for each, copied in entries.items():
        copies.update(zip(each.instances, copied.instances, strict=True))
    try:
        yield scheduler.copied(copies, memo), entries[entry]
    finally:
        for instance, phase in settled:
            instance.restore(phase)


def _shared(
    scheduler: ModelScheduler, moving: Iterable[ModelEntry]
) -> Iterator[tuple[int, object]]:
    """Yield what a copy has in common with what is copied, or has instead, by its identity."""
    yield id(scheduler.ledger), scheduler.ledger.trial()
    for each in moving:
        yield from ((id(shared), shared) for shared in _unchanging(each))
        yield from ((id(ticket.granted), _Unheard()) for ticket in _tickets(each))


def _tickets(entry: ModelEntry) -> Iterator[Ticket]:
    """Yield the requests that an entry knows, those too that are over and have anchored a drain."""
    yield from entry.queue.waiting
    yield from entry.queue.running
    for instance in entry.instances:
        if isinstance(instance.phase, Draining):
            yield from instance.phase.anchors


def _unchanging(entry: ModelEntry) -> Iterator[object]:
    """Yield what an entry has that no decision changes."""
    yield from (entry.spec, entry.backend, entry.options, entry.capabilities)
    for instance in entry.instances:
        yield instance.spec
        yield from phases.engines(instance.phase)
