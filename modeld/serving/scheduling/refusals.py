# SPDX-License-Identifier: GPL-3.0-only
"""The errors with which requests for a model are refused: what is wrong, and what helps."""

from __future__ import annotations

from modeld.device_bytes import DeviceBytes
from modeld.errors import (
    BudgetExceededError,
    LoadFailedError,
    ModeldError,
    ModelExceedsBudgetError,
    WaitTimeoutError,
    error_from_code,
)
from modeld.plugins.guard import described
from modeld.serving.state.budget import DeviceLimit, Ledger
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.moving_limit import RISE_S
from modeld.status import Fitting


def never_fits(entry: ModelEntry, ledger: Ledger, size: DeviceBytes) -> ModelExceedsBudgetError:
    """Return the refusal of a model that the machine, or the whole budget, cannot hold."""
    limit, short, advice = _short(entry, size, ledger)
    if entry.need.least is None:
        return ModelExceedsBudgetError(f"{short}; {advice}")
    least, gives_up = entry.need.least
    amount = _amount(int(least.on(limit.device)), limit)
    return ModelExceedsBudgetError(
        f"{short}; with less ({gives_up}) it would still need {amount}; {advice}"
    )


def fit_forbidden(entry: ModelEntry, fitting: Fitting, ledger: Ledger) -> ModelExceedsBudgetError:
    """Return the refusal of a request that takes a model only as it is configured."""
    _, short, advice = _short(entry, entry.need.full, ledger)
    return ModelExceedsBudgetError(
        f"{short}; it is served with {fitting.gives_up}, which `fit` of the request forbids; leave"
        f" that out, or {advice}",
        field="fit",
    )


def _short(entry: ModelEntry, size: DeviceBytes, ledger: Ledger) -> tuple[DeviceLimit, str, str]:
    """Return what a model is too large for, by how much in words, and what helps."""
    limit = ledger.short(size, ledger.ever)
    needed_bytes = int(size.on(limit.device))
    needs = f"model {entry.spec.id!r} needs {_amount(needed_bytes, limit)}"
    less = f"lower the model's context{_fewer_layers(limit)}"
    most = limit.capacity.size_bytes
    if most is not None and needed_bytes > most:
        short = f"{needs}, and this machine has {limit.capacity.said}"
        return limit, short, f"{less}, or take a smaller quantisation"
    most_bytes = limit.most_bytes or 0
    more_mb = max(0, needed_bytes - most_bytes) >> 20
    allow, advice = f"{limit.setting} less memory_margin_mb allow", "raise the budget"
    if limit.moves:
        allow = f"{limit.setting} (auto) allows on this machine if nothing else runs"
        advice = "take a smaller quantisation"
    short = f"{needs}, {more_mb} MiB more than the {most_bytes >> 20} MiB that {allow}"
    return limit, short, f"{advice}, or {less}"


def too_little_left(entry: ModelEntry, ledger: Ledger, pinned: DeviceBytes) -> BudgetExceededError:
    """Return the refusal of a model for which other programs leave too little memory now."""
    limit = ledger.short(entry.need.size + pinned, ledger.now)
    pinned_bytes = int(pinned.on(limit.device))
    needed_bytes = int(entry.need.size.on(limit.device))
    beside = f", beside {pinned_bytes >> 20} MiB of pinned models" if pinned_bytes else ""
    return BudgetExceededError(
        f"model {entry.spec.id!r} needs {_amount(needed_bytes, limit)}{beside}, and models may"
        f" have {(limit.limit_bytes or 0) >> 20} MiB now ({limit.said}); end other programs, or"
        " try again later",
        retry_after_s=RISE_S,
    )


def pinned_in_the_way(
    entry: ModelEntry, ledger: Ledger, pinned: DeviceBytes
) -> BudgetExceededError:
    """Return the refusal of a model for which the pinned ones leave too little."""
    limit = ledger.short(entry.need.size + pinned, ledger.now)
    needed_bytes = int(entry.need.size.on(limit.device))
    pinned_bytes = int(pinned.on(limit.device))
    return BudgetExceededError(
        f"model {entry.spec.id!r} needs {_amount(needed_bytes, limit)}, and the pinned models"
        f" hold {pinned_bytes >> 20} MiB of the budget; unpin one of them, or raise the budget"
    )


def _amount(size_bytes: int, limit: DeviceLimit) -> str:
    """Return so many bytes in words, with the device where that is not main memory."""
    return f"{size_bytes >> 20} MiB" + ("" if limit.is_main else f" on {limit.device}")


def _fewer_layers(limit: DeviceLimit) -> str:
    return "" if limit.is_main else " or put less of it on the GPU"


def has_grown(
    entry: ModelEntry, instance: Instance, forecast_s: float | None
) -> BudgetExceededError:
    """Return the refusal of a model that holds more than was reserved and than is free."""
    growth_bytes = instance.growth.total_bytes
    return BudgetExceededError(
        f"model {entry.spec.id!r} holds {instance.held_bytes + growth_bytes} bytes once loaded,"
        f" {growth_bytes} more than reserved, and nothing may be evicted for it",
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
