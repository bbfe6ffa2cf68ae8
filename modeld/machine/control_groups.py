# SPDX-License-Identifier: GPL-3.0-only
"""What the control groups of this process allow it, in both versions of cgroups.

A limit of a group further up counts as well, and the smallest one wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from modeld.machine.files import Machine

_MOUNTED: Final = "/sys/fs/cgroup"
_NO_LIMIT: Final = 1 << 60
"""The first version writes a huge number where there is no limit."""


class MemoryLimit(NamedTuple):
    """A limit in bytes, and how many of them are in use and cannot be taken back."""

    limit_bytes: int
    used_bytes: int


def cpu_quota(machine: Machine) -> float | None:
    """Return how many processors' time the process may take; ``None`` without a limit."""
    return min(_quotas(machine), default=None)


def memory_limit(machine: Machine) -> MemoryLimit | None:
    """Return the smallest limit, with what the fullest group leaves; ``None`` without a limit.

    The two may be of different groups: one further up may be full of what others hold.
    """
    limits = tuple(_memory_limits(machine))
    if not limits:
        return None
    smallest = min(limit.limit_bytes for limit in limits)
    left = min(limit.limit_bytes - limit.used_bytes for limit in limits)
    return MemoryLimit(smallest, smallest - left)


def _quotas(machine: Machine) -> Iterator[float]:
    for folder in _folders(machine, "cpu"):
        quota, _, period = machine.text(f"{folder}/cpu.max").partition(" ")
        quota = quota or machine.text(f"{folder}/cpu.cfs_quota_us")
        period = period or machine.text(f"{folder}/cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):
            yield int(quota) / int(period)


def _memory_limits(machine: Machine) -> Iterator[MemoryLimit]:
    names = (
        ("memory.max", "memory.current", ""),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    )
    for folder in _folders(machine, "memory"):
        for limit, usage, prefix in names:
            limit_bytes = machine.number(f"{folder}/{limit}")
            if limit_bytes is None or limit_bytes >= _NO_LIMIT:
                continue
            used = machine.number(f"{folder}/{usage}") or 0
            yield MemoryLimit(limit_bytes, max(0, used - _cached(machine, folder, prefix)))


def _cached(machine: Machine, folder: str, prefix: str) -> int:
    """Return what the system takes back where memory is short: what it has of files.

    The active part counts too, as in ``MemAvailable``: mapped weights are most of it.
    """
    names = {f"{prefix}inactive_file", f"{prefix}active_file"}
    rows = (row.partition(" ") for row in machine.text(f"{folder}/memory.stat").splitlines())
    return sum(int(value) for key, _, value in rows if key in names and value.isdecimal())


def _folders(machine: Machine, controller: str) -> Iterator[str]:
    """Yield the process's groups for a controller, each hierarchy up to its root."""
    for line in machine.text("/proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and controller not in controllers.split(","):
            continue
        top = f"{_MOUNTED}/{controller}" if controllers else _MOUNTED
        parts = [part for part in path.split("/") if part and part != ".."]
        for count in range(len(parts), -1, -1):
            yield "/".join((top, *parts[:count]))
