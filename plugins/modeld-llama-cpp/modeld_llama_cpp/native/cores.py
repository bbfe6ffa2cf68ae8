# SPDX-License-Identifier: GPL-3.0-only
"""How many processor cores this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path("/")


def usable_cores(root: Path = ROOT) -> int:
    """Return the number of physical cores that the process may run on, at least 1.

    Two threads of one core share its arithmetic units, so more computing threads than cores only
    get in each other's way. A container's CPU quota (cgroup, both versions) counts as well. Where
    the system does not tell, every processor counts as a core.
    """
    cores = len({_core_of(cpu, root) for cpu in _allowed_cpus()})
    return max(1, min([cores, *_quotas(root)]))


def _allowed_cpus() -> Iterable[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


def _core_of(cpu: int, root: Path) -> str:
    """Return a name that is the same for all threads of one core."""
    siblings = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
    return _read(siblings) or str(cpu)


def _quotas(root: Path) -> Iterator[int]:
    """Yield the quota, in whole cores, of every control group that the process is in."""
    mounted = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = mounted / "cpu" if controllers else mounted
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(top):
                yield from _quota(folder)


def _quota(folder: Path) -> Iterator[int]:
    quota, _, period = _read(folder / "cpu.max").partition(" ")
    quota = quota or _read(folder / "cpu.cfs_quota_us")
    period = period or _read(folder / "cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit() and int(period):
        yield int(quota) // int(period)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
