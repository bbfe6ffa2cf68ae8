# SPDX-License-Identifier: GPL-3.0-only
"""Memory: what there is, what the budget says, and what the models need of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from modeld.device_bytes import NOTHING, DeviceBytes
from modeld.doctor.inventory import Inventory, Loadable, less_of
from modeld.doctor.report import error, ok, warning
from modeld.machine.auto_budget import AutoBudget
from modeld.machine.files import Machine
from modeld.machine.memory import Memory, kib
from modeld.serving.state.budget import DeviceLimit, Ledger
from modeld.settings import Settings
from modeld.sizes import size_text
from modeld.status import MAIN
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
    settings: Settings, memory: Memory | None, inventory: Inventory, auto: AutoBudget | None
) -> Iterator[Finding]:
    """Check the budget of main memory against what there is; ``auto`` is what it is unless set."""
    if auto is not None:
        yield from _check_auto(auto, inventory)
        return
    if memory is None:
        return
    total, kind = memory.total_bytes, "main memory"
    safe_mb = int(total * SAFE_SHARE) >> 20
    if settings.budget_bytes is None:
        yield from _check_unlimited(inventory, total, kind, safe_mb)
        return
    yield _check_set(settings, memory, kind, safe_mb)


def _check_set(settings: Settings, memory: Memory, kind: str, safe_mb: int) -> Finding:
    """Check a budget that is a number."""
    budget = settings.budget_bytes or 0
    total, available = memory.total_bytes, memory.available_bytes
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
    if used > available:
        message = f"{said}, but only {size_text(available)} are available now"
        fix = f"end other programs, or set memory_budget_mb to {available >> 20} or less"
        return warning("budget", message, fix, **facts)
    return ok("budget", f"{said}; there are {size_text(total)} of {kind}", **facts)


def check_gpus(ledger: Ledger) -> Iterator[Finding]:
    """Tell what models may have of each GPU that a backend uses."""
    for limit in ledger.gpus.values():
        facts: dict[str, JsonValue] = {"limit_bytes": limit.limit_bytes}
        if limit.limit_bytes is None:
            yield warning(limit.device, limit.said, "set gpu_budget_mb", **facts)
        elif limit.limit_bytes > limit.capacity_bytes:
            yield error(
                limit.device,
                f"gpu_budget_mb allows {size_text(limit.limit_bytes)}, but there are"
                f" {limit.capacity.said}",
                "lower gpu_budget_mb",
                **facts,
            )
        else:
            yield ok(limit.device, f"{size_text(limit.limit_bytes)} now ({limit.said})", **facts)


def check_needs(inventory: Inventory, settings: Settings, ledger: Ledger) -> Iterator[Finding]:
    """Check each model's need against the machine and the budget, and all of them together."""
    fitting = []
    for each in inventory.by_size:
        if each.need.fits_within(ledger.ever):
            fitting.append(each)
        elif less := less_of(each, settings, ledger.ever):
            yield _has_less(each, ledger.short(each.need, ledger.ever), less)
        elif not each.need.fits_within(ledger.capacity):
            yield _too_large(each, ledger.short(each.need, ledger.capacity))
        else:
            yield _never_fits(each, ledger.short(each.need, ledger.ever), settings)
    if not fitting:
        return
    total = sum((each.need for each in fitting), NOTHING)
    needs: dict[str, JsonValue] = {each.spec.id: each.need_bytes for each in fitting}
    said = f"{len(fitting)} models need {_sizes(total)} together"
    if len(fitting) == 1:
        said = f"one model needs {_sizes(total)}"
    limits = DeviceBytes(*_most(ledger))
    if limits.main == math.inf and not limits.gpus:
        yield ok("needs", said, needs=needs)
    elif total.fits_within(limits):
        yield ok("needs", f"{said}, at once within {_sizes(limits)}", needs=needs)
    else:
        yield ok("needs", f"{said}: {_sizes(limits)} holds some at a time", needs=needs)


def _most(ledger: Ledger) -> tuple[float, dict[str, float], float]:
    """Return what all models together may ever hold, as the parts of a DeviceBytes."""
    most = {each.device: each.most_bytes for each in ledger.limits}
    known = {name: math.inf if size is None else size for name, size in most.items()}
    return (
        known.pop(MAIN),
        {name: size for name, size in known.items() if size < math.inf},
        math.inf,
    )


def _sizes(held: DeviceBytes) -> str:
    """Return sizes in words, with the devices where there is more than main memory."""
    if not held.gpus:
        return size_text(int(held.main))
    finite = [(name, size) for name, size in held.items() if 0 < size < math.inf]
    return " and ".join(f"{size_text(int(size))} on {name}" for name, size in finite)


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


def _has_less(each: Loadable, limit: DeviceLimit, less: str) -> Finding:
    how = "measured" if each.is_measured else "estimated"
    most_bytes = int(limit.ever_bytes)
    return warning(
        each.spec.id,
        f"it needs {_need(each, limit)} ({how}), more than the {size_text(most_bytes)} that there"
        f" can be; to fit, it is loaded with {less} (as estimated)",
        "give it a larger budget, or set its options to what you can do without",
        need_bytes=int(each.need.on(limit.device)),
        limit_bytes=most_bytes,
    )


def _too_large(each: Loadable, limit: DeviceLimit) -> Finding:
    how = "measured" if each.is_measured else "estimated"
    return error(
        each.spec.id,
        f"it can never be loaded: it needs {_need(each, limit)} ({how}), and this machine"
        f" has {limit.capacity.said}",
        "give the model a smaller context, or take a smaller quantisation of it",
        need_bytes=int(each.need.on(limit.device)),
        limit_bytes=limit.capacity.size_bytes,
    )


def _never_fits(each: Loadable, limit: DeviceLimit, settings: Settings) -> Finding:
    need_bytes = int(each.need.on(limit.device))
    needed_mb = (need_bytes >> 20) + 1 + settings.memory_margin_mb
    # More than auto allows is more than the machine has, its margin included.
    fix = "" if limit.moves else f"set {limit.setting} to {needed_mb} or more, or "
    how = "measured" if each.is_measured else "estimated"
    return error(
        each.spec.id,
        f"it can never be loaded: it needs {_need(each, limit)} ({how}), and the budget"
        f" without its margin is {size_text(limit.most_bytes or 0)}",
        f"{fix}give the model a smaller context, or take a smaller quantisation of it",
        need_bytes=need_bytes,
        limit_bytes=limit.most_bytes,
    )


def _need(each: Loadable, limit: DeviceLimit) -> str:
    size = size_text(int(each.need.on(limit.device)))
    return size if limit.is_main else f"{size} on {limit.device}"
