# SPDX-License-Identifier: GPL-3.0-only
"""What the system allows a process (``ulimit``), against what the server takes."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from typing import Final

from modeld.doctor.inventory import Inventory
from modeld.doctor.report import error, ok, warning
from modeld.httpapi.server.capacity import capacity, wanted_files
from modeld.machine.files import Machine
from modeld.settings import Settings
from modeld.sizes import size_text
from modeld.values import Finding

FEWEST_TASKS: Final = 512
"""Processes and threads below which a server with some models may run out of them."""

_WORKER_BYTES: Final = 1 << 30
"""Addresses that a worker takes beside its model: libraries, stacks of threads."""


def check_limits(settings: Settings, machine: Machine) -> Iterator[Finding]:
    """Check the limits that do not depend on the models."""
    soft, hard = machine.limit(resource.RLIMIT_NOFILE)
    wanted = wanted_files(settings.max_connections)
    if _below(hard, wanted):
        yield warning(
            "open files",
            f"{hard} are allowed (ulimit -Hn), max_connections ({settings.max_connections}) may"
            f" need {wanted}; no more than"
            f" {capacity(settings.max_connections, hard).connections} connections will be taken",
            f"LimitNOFILE={wanted} in the unit, ulimit -n {wanted}, or a lower max_connections",
        )
    else:
        shown = _shown(soft)
        raised = "; the server raises that by itself" if _below(soft, wanted) else ""
        yield ok("open files", f"{shown} allowed, {wanted} wanted{raised}")
    tasks, _ = machine.limit(resource.RLIMIT_NPROC)
    if _below(tasks, FEWEST_TASKS):
        yield warning(
            "processes",
            f"{tasks} processes and threads are allowed (ulimit -u)",
            f"allow {FEWEST_TASKS} or more: ulimit -u, or LimitNPROC in the unit",
        )
    core, _ = machine.limit(resource.RLIMIT_CORE)
    if core != 0:
        yield warning(
            "core dumps",
            "the server's memory, with prompts and keys in it, is written to disk if it crashes"
            " (workers never write theirs)",
            "ulimit -c 0, or LimitCORE=0 in the unit",
        )
    locked, _ = machine.limit(resource.RLIMIT_MEMLOCK)
    memlock = None if locked == resource.RLIM_INFINITY else locked
    shown = "any amount" if memlock is None else size_text(memlock)
    yield ok("locked memory", f"{shown} (ulimit -l)", memlock_bytes=memlock)


def check_address_space(
    settings: Settings, machine: Machine, inventory: Inventory
) -> Iterator[Finding]:
    """Check whether a worker's addresses suffice for the models: files that are mapped count."""
    limits = []
    soft, _ = machine.limit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append((soft, "ulimit -v", "ulimit -v unlimited, or LimitAS=infinity in the unit"))
    if settings.worker_memory_mb:
        size = settings.worker_memory_mb << 20
        limits.append((size, "worker_memory_mb", "set worker_memory_mb higher, or to 0"))
    for size, name, fix in limits:
        largest = inventory.by_size[-1] if inventory.by_size else None
        if largest is not None and largest.need_bytes + _WORKER_BYTES > size:
            yield error(
                "address space",
                f"{name} allows {size_text(size)}, and a worker with {largest.spec.id} needs about"
                f" {size_text(largest.need_bytes + _WORKER_BYTES)}",
                fix,
            )
        else:
            yield ok("address space", f"{size_text(size)} for each worker ({name})")


def _below(limit: int, wanted: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < wanted


def _shown(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)
