# SPDX-License-Identifier: GPL-3.0-only
"""The errors with which requests for a model are refused: what is wrong, and what helps."""

from __future__ import annotations

from modeld.errors import (
    BudgetExceededError,
    LoadFailedError,
    ModeldError,
    ModelExceedsBudgetError,
    WaitTimeoutError,
    error_from_code,
)
from modeld.plugins.guard import described
from modeld.serving.state.budget import Ledger
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.moving_limit import RISE_S
from modeld.status import Fitting


def never_fits(entry: ModelEntry, ledger: Ledger) -> ModelExceedsBudgetError:
    """Return the refusal of a model that the machine, or the whole budget, cannot hold."""
    short, advice = _short(entry, entry.need.size_bytes, ledger)
    if entry.need.least is None:
        return ModelExceedsBudgetError(f"{short}; {advice}")
    least_bytes, gives_up = entry.need.least
    return ModelExceedsBudgetError(
        f"{short}; with less ({gives_up}) it would still need {least_bytes >> 20} MiB; {advice}"
    )


def fit_forbidden(entry: ModelEntry, fitting: Fitting, ledger: Ledger) -> ModelExceedsBudgetError:
    """Return the refusal of a request that takes a model only as it is configured."""
    short, advice = _short(entry, fitting.full_bytes, ledger)
    return ModelExceedsBudgetError(
        f"{short}; it is served with {fitting.gives_up}, which `fit` of the request forbids; leave"
        f" that out, or {advice}",
        field="fit",
    )


def _short(entry: ModelEntry, needed: int, ledger: Ledger) -> tuple[str, str]:
    """Return by how much a model is too large for the machine or the budget, and what helps."""
    most = ledger.capacity.size_bytes
    model = f"model {entry.spec.id!r} needs {needed >> 20} MiB"
    if most is not None and needed > most:
        return (
            f"{model}, and this machine has {ledger.capacity.said}",
            "lower the model's context, or take a smaller quantisation",
        )
    limit = ledger.most_bytes or 0
    allow, advice = "memory_budget_mb less memory_margin_mb allow", "raise the budget"
    if ledger.moves:
        allow = "memory_budget_mb (auto) allows on this machine if nothing else runs"
        advice = "take a smaller quantisation"
    more = max(0, needed - limit) >> 20
    short = f"{model}, {more} MiB more than the {limit >> 20} MiB that {allow}"
    return short, f"{advice}, or lower the model's context"


def too_little_left(
    entry: ModelEntry, ledger: Ledger, pinned_bytes: int = 0
) -> BudgetExceededError:
    """Return the refusal of a model for which other programs leave too little memory now."""
    beside = f", beside {pinned_bytes >> 20} MiB of pinned models" if pinned_bytes else ""
    return BudgetExceededError(
        f"model {entry.spec.id!r} needs {entry.need.size_bytes >> 20} MiB{beside}, and models may"
        f" have {(ledger.limit_bytes or 0) >> 20} MiB now ({ledger.said}); end other programs, or"
        " try again later",
        retry_after_s=RISE_S,
    )


def pinned_in_the_way(entry: ModelEntry, pinned_bytes: int) -> BudgetExceededError:
    """Return the refusal of a model for which the pinned ones leave too little."""
    return BudgetExceededError(
        f"model {entry.spec.id!r} needs {entry.need.size_bytes >> 20} MiB, and the pinned models"
        f" hold {pinned_bytes >> 20} MiB of the budget; unpin one of them, or raise the budget"
    )


def has_grown(
    entry: ModelEntry, instance: Instance, forecast_s: float | None
) -> BudgetExceededError:
    """Return the refusal of a model that holds more than was reserved and than is free."""
    measured_bytes = instance.held_bytes + instance.growth_bytes
    return BudgetExceededError(
        f"model {entry.spec.id!r} holds {measured_bytes} bytes once loaded,"
        f" {instance.growth_bytes} more than reserved, and nothing may be evicted for it",
        retry_after_s=forecast_s,
    )


def waited_too_long(
    entry: ModelEntry, max_wait_s: float, forecast_s: float | None
) -> WaitTimeoutError:
    """Return the refusal of a request for which no slot was free in time."""
    return WaitTimeoutError(
        f"no slot of model {entry.spec.id!r} was free within {max_wait_s:g} s",
        retry_after_s=forecast_s,
    )


def load_failed(entry: ModelEntry, exc: Exception, retry_after_s: float) -> ModeldError:
    """Return the failure of a load, for whatever reason its backend gives."""
    why = f"model {entry.spec.id!r} could not be loaded"
    if isinstance(exc, ModeldError):
        wait_s = retry_after_s if exc.retryable else None
        return error_from_code(exc.code, f"{why}: {exc.message}", wait_s)
    said = f"backend {entry.backend.name!r} raised {described(exc)}"
    return LoadFailedError(f"{why}: {said}", retry_after_s=retry_after_s)


def cools_down(entry: ModelEntry, wait_s: float) -> ModeldError:
    """Return the failure that started the cool-down once more."""
    error = error_from_code(
        entry.failure_code,
        f"model {entry.spec.id!r} failed and is not tried again for {wait_s:.0f} s:"
        f" {entry.last_error}",
    )
    error.retry_after_s = wait_s if error.retryable else None
    return error
