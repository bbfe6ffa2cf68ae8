# SPDX-License-Identifier: GPL-3.0-only
"""The errors with which requests for a model are turned away: what is wrong, and what helps."""

from __future__ import annotations

from modeld.errors import (
    BudgetExceededError,
    LoadFailedError,
    ModeldError,
    ModelExceedsBudgetError,
    WaitTimeoutError,
    error_from_code,
)
from modeld.serving.budget import Ledger
from modeld.serving.instance import Instance, Place


def never_fits(place: Place, ledger: Ledger) -> ModelExceedsBudgetError:
    """The model needs more than the whole budget."""
    needed, limit = place.need.size_bytes, ledger.limit_bytes or 0
    return ModelExceedsBudgetError(
        f"model {place.spec.id!r} needs {needed >> 20} MiB, {(needed - limit) >> 20} MiB more than"
        f" the {limit >> 20} MiB that vram_budget_mb less vram_margin_mb allow;"
        " raise the budget, or lower the model's context"
    )


def pinned_in_the_way(place: Place, pinned_bytes: int) -> BudgetExceededError:
    """Whatever else makes room, the pinned models leave too little."""
    return BudgetExceededError(
        f"model {place.spec.id!r} needs {place.need.size_bytes >> 20} MiB, and the pinned models"
        f" hold {pinned_bytes >> 20} MiB of the budget; unpin one of them, or raise the budget"
    )


def has_grown(place: Place, instance: Instance) -> BudgetExceededError:
    """The model holds more than was reserved, and there is no room for the rest."""
    return BudgetExceededError(
        f"model {place.spec.id!r} holds {instance.measured_bytes} bytes once loaded,"
        f" {instance.growth_bytes} more than reserved, and nothing may be evicted for it",
        retry_after_s=place.forecast_s(),
    )


def waited_too_long(place: Place, max_wait_s: float) -> WaitTimeoutError:
    """No slot was free in time."""
    return WaitTimeoutError(
        f"no slot of model {place.spec.id!r} was free within {max_wait_s:g} s",
        retry_after_s=place.forecast_s(),
    )


def load_failed(place: Place, exc: Exception, retry_after_s: float) -> ModeldError:
    """The load has failed, for whatever reason its backend gives."""
    why = f"model {place.spec.id!r} could not be loaded"
    if isinstance(exc, ModeldError):
        wait_s = retry_after_s if exc.retryable else None
        return error_from_code(exc.code, f"{why}: {exc.message}", wait_s)
    return LoadFailedError(f"{why}: {type(exc).__name__}: {exc}", retry_after_s=retry_after_s)


def cools_down(place: Place, wait_s: float) -> ModeldError:
    """The failure again that has begun the cool-down."""
    error = error_from_code(
        place.failure_code,
        f"model {place.spec.id!r} failed and is not tried again for {wait_s:.0f} s:"
        f" {place.last_error}",
    )
    error.retry_after_s = wait_s if error.retryable else None
    return error
