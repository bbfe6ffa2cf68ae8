# SPDX-License-Identifier: GPL-3.0-only
"""Memory: what there is, what the budget says, and what the models need of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from modeld.doctor.inventory import Inventory, Loadable, less_of
from modeld.doctor.report import error, ok, warning
from modeld.machine.auto_budget import AutoBudget
from modeld.machine.files import Machine
from modeld.machine.memory import Capacity, Memory, kib
from modeld.settings import Settings
from modeld.sizes import size_text
from modeld.values import Finding, JsonValue

SAFE_SHARE: Final = 0.9
"""The part of the memory that a budget may be without taking the system's own."""

_STRICT_OVERCOMMIT: Final = 2


def check_memory(memory: Memory, machine: Machine) -> Iterator[Finding]:
    """Check what memory there is, and what is known to go wrong with it."""
    of = " (limit of the control group)" if memory.limited else ""
    said = f"{size_text(memory.available_bytes)} of {size_text(memory.total_bytes)} available{of}"
    yield ok(
        "main memory",
        said,
        total_bytes=memory.total_bytes,
        available_bytes=memory.available_bytes,
    )
    used = memory.swap_bytes - memory.swap_free_bytes
    if memory.swap_bytes and used > memory.swap_bytes // 2:
        yield warning(
            "swap",
            f"{size_text(used)} of {size_text(memory.swap_bytes)} are in use; a model that is"
            " swapped out answers slowly",
            "lower memory_budget_mb, or end other programs",
        )
    if machine.number("/proc/sys/vm/overcommit_memory") == _STRICT_OVERCOMMIT:
        rows = machine.table("/proc/meminfo")
        left = kib(rows, "CommitLimit") - kib(rows, "Committed_AS")
        yield warning(
            "overcommit",
            f"vm.overcommit_memory is 2: programs may ask for {size_text(max(0, left))} more, used"
            " or not, and loads fail beyond that",
            "sysctl vm.overcommit_memory=0, or keep memory_budget_mb below it",
        )


def check_budget(
    settings: Settings,
    memory: Memory | None,
    gpu_bytes: int,
    inventory: Inventory,
    auto: AutoBudget,
) -> Iterator[Finding]:
    """Check the budget against what there is. With GPUs it counts theirs (``gpu_bytes``).

    ``auto`` is what it is unless it is set.
    """
    if settings.is_budget_auto:
        yield from _check_auto(auto, inventory)
        return
    if memory is None and not gpu_bytes:
        return
    total = gpu_bytes or (memory.total_bytes if memory else 0)
    kind = "GPU memory" if gpu_bytes else "main memory"
    safe_mb = int(total * SAFE_SHARE) >> 20
    if settings.budget_bytes is None:
        yield from _check_unlimited(inventory, total, kind, safe_mb)
        return
    available = None if memory is None or gpu_bytes else memory.available_bytes
    yield _check_set(settings, total, kind, safe_mb, available)


def _check_set(
    settings: Settings, total: int, kind: str, safe_mb: int, available: int | None
) -> Finding:
    """Check a budget that is a number; ``available`` bytes are known of main memory only."""
    budget = settings.budget_bytes or 0
    used = budget - settings.margin_bytes
    facts: dict[str, JsonValue] = {
        "memory_budget_mb": settings.memory_budget_mb,
        "capacity_bytes": total,
    }
    fix = f"set memory_budget_mb to {safe_mb} or less"
    said = f"the budget is {size_text(budget)}"
    if settings.margin_bytes:
        said += f" with a margin of {size_text(settings.margin_bytes)}"
    if used > total:
        return error("budget", f"{said}, but there are {size_text(total)} of {kind}", fix, **facts)
    if used > total * SAFE_SHARE:
        message = f"{said}, nearly all of the {size_text(total)} of {kind}"
        return warning("budget", message, f"{fix}, or set memory_margin_mb", **facts)
    if available is not None and used > available:
        message = f"{said}, but only {size_text(available)} are available now"
        fix = f"end other programs, or set memory_budget_mb to {available >> 20} or less"
        return warning("budget", message, fix, **facts)
    return ok("budget", f"{said}; there are {size_text(total)} of {kind}", **facts)


def check_needs(
    inventory: Inventory, settings: Settings, capacity: Capacity, auto: AutoBudget
) -> Iterator[Finding]:
    """Check each model's need against the machine and the budget, and all of them together."""
    limit = limit_bytes(settings, auto)
    most = capacity.size_bytes
    fitting = []
    for each in inventory.by_size:
        within = min((size for size in (limit, most) if size is not None), default=None)
        if within is None or each.need_bytes <= within:
            fitting.append(each)
        elif less := less_of(each, settings, within):
            yield _has_less(each, within, less)
        elif most is not None and each.need_bytes > most:
            yield _too_large(each, capacity)
        elif limit is not None:
            yield _never_fits(each, limit, settings)
    if not fitting:
        return
    total = sum(each.need_bytes for each in fitting)
    needs: dict[str, JsonValue] = {each.spec.id: each.need_bytes for each in fitting}
    said = f"{len(fitting)} models need {size_text(total)} together"
    if len(fitting) == 1:
        said = f"one model needs {size_text(total)}"
    if limit is None:
        yield ok("needs", said, needs=needs)
    elif total <= limit:
        yield ok("needs", f"{said}, at once within {size_text(limit)}", needs=needs)
    else:
        yield ok("needs", f"{said}: {size_text(limit)} holds some at a time", needs=needs)


def limit_bytes(settings: Settings, auto: AutoBudget) -> int | None:
    """Return what all models together may ever hold; ``None`` for any amount."""
    size_bytes = auto.most_bytes if settings.is_budget_auto else settings.budget_bytes
    return None if size_bytes is None else max(0, size_bytes - settings.margin_bytes)


def _check_auto(auto: AutoBudget, inventory: Inventory) -> Iterator[Finding]:
    if auto.size_bytes is None:
        yield warning("budget", auto.said, "set memory_budget_mb to what models may have")
        return
    largest = inventory.by_size[-1] if inventory.by_size else None
    said = f"{size_text(auto.size_bytes)} now ({auto.said})"
    facts: dict[str, JsonValue] = {"memory_budget_mb": "auto", "budget_bytes": auto.size_bytes}
    most = auto.most_bytes or 0
    if largest is not None and auto.size_bytes < largest.need_bytes <= most:
        yield warning(
            "budget",
            f"{said}, and {largest.spec.id} needs {size_text(largest.need_bytes)}",
            "end other programs before it is used",
            **facts,
        )
    else:
        yield ok("budget", said, **facts)


def _check_unlimited(
    inventory: Inventory, total: int, kind: str, safe_mb: int
) -> Iterator[Finding]:
    needed = sum(each.need_bytes for each in inventory.by_size)
    if needed > total * SAFE_SHARE:
        yield warning(
            "budget",
            f"it is unlimited (0), and all models together need {size_text(needed)} of"
            f" {size_text(total)} of {kind}",
            f"set memory_budget_mb to {safe_mb}; models then make room for each other",
        )
    else:
        yield ok("budget", f"it is unlimited (0); there are {size_text(total)} of {kind}")


def _has_less(each: Loadable, most: int, less: str) -> Finding:
    how = "measured" if each.is_measured else "estimated"
    return warning(
        each.spec.id,
        f"it needs {size_text(each.need_bytes)} ({how}), more than the {size_text(most)} that there"
        f" can be; to fit, it is loaded with {less} (as estimated)",
        "give it a larger budget, or set its options to what you can do without",
        need_bytes=each.need_bytes,
        limit_bytes=most,
    )


def _too_large(each: Loadable, capacity: Capacity) -> Finding:
    how = "measured" if each.is_measured else "estimated"
    return error(
        each.spec.id,
        f"it can never be loaded: it needs {size_text(each.need_bytes)} ({how}), and this machine"
        f" has {capacity.said}",
        "give the model a smaller context, or take a smaller quantisation of it",
        need_bytes=each.need_bytes,
        limit_bytes=capacity.size_bytes,
    )


def _never_fits(each: Loadable, limit: int, settings: Settings) -> Finding:
    needed_mb = (each.need_bytes >> 20) + 1 + settings.memory_margin_mb
    # More than auto allows is more than the machine has, its margin included.
    fix = "" if settings.is_budget_auto else f"set memory_budget_mb to {needed_mb} or more, or "
    how = "measured" if each.is_measured else "estimated"
    return error(
        each.spec.id,
        f"it can never be loaded: it needs {size_text(each.need_bytes)} ({how}), and the budget"
        f" without its margin is {size_text(limit)}",
        f"{fix}give the model a smaller context, or take a smaller quantisation of it",
        need_bytes=each.need_bytes,
        limit_bytes=limit,
    )
