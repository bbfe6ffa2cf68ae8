# SPDX-License-Identifier: GPL-3.0-only
"""The memory budget ``auto``: what other programs leave of main memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from modeld.machine.files import Machine
from modeld.machine.gpus import Gpu, gpus
from modeld.machine.memory import Capacity, Memory, kib, read_memory

LEAST_MARGIN_BYTES: Final = 512 << 20
"""What stays free at least, for what other programs take between two looks."""

_UNKNOWN: Final = "auto: unlimited, because the system does not tell how much memory there is"


class AutoBudget(NamedTuple):
    """A budget in bytes; ``None`` where the machine does not tell.

    ``most_bytes`` is what it would be if no other program ran. ``margin_bytes`` stays free of it.
    ``said`` is how it came about.
    """

    size_bytes: int | None
    most_bytes: int | None
    margin_bytes: int
    said: str


UNKNOWN: Final = AutoBudget(None, None, 0, _UNKNOWN)


def margin_bytes(total_bytes: int) -> int:
    """Return what of the memory stays free.

    A tenth, because what others take at once grows with the machine; 512 MiB at least, and never
    more than a quarter, or a small container would have nothing left for models.
    """
    return min(max(total_bytes // 10, LEAST_MARGIN_BYTES), total_bytes // 4)


def auto_budget(memory: Memory, models_bytes: int, hidden_bytes: int = 0) -> AutoBudget:
    """Return the budget of this moment.

    ``models_bytes`` of what is not available are the models' own. ``hidden_bytes`` count as
    available and are not: other servers have promised them to their models.
    """
    margin = margin_bytes(memory.total_bytes)
    most = memory.total_bytes - margin
    taken = memory.total_bytes - memory.available_bytes
    others = max(0, taken - models_bytes) + hidden_bytes
    of = " (limit of the control group)" if memory.limited else ""
    return AutoBudget(
        max(0, most - others),
        most,
        margin,
        f"auto: {memory.total_bytes >> 20} MiB of main memory{of}, less {others >> 20} MiB that"
        f" others use and a margin of {margin >> 20} MiB",
    )


def read_auto_budget(machine: Machine, models_bytes: int = 0, hidden_bytes: int = 0) -> AutoBudget:
    """Return the budget of this moment, as :func:`auto_budget` has it."""
    memory = read_memory(machine)
    return UNKNOWN if memory is None else auto_budget(memory, models_bytes, hidden_bytes)


class GpuBudget(NamedTuple):
    """What models may have of one GPU; ``auto`` is the budget where nobody has set one."""

    capacity: Capacity
    auto: AutoBudget


def read_gpu_budgets(machine: Machine, held: Mapping[str, int] = {}) -> dict[str, GpuBudget]:
    """Return the budgets of the GPUs with memory of their own by name: ``gpu0`` is the first.

    ``held`` is what the models hold of each, which is a part of what is used of it.
    """
    found = (gpu for gpu in gpus(machine) if gpu.size_bytes != 0)  # else main memory is theirs
    named = ((f"gpu{number}", gpu) for number, gpu in enumerate(found))
    return {name: _gpu_budget(gpu, held.get(name, 0)) for name, gpu in named}


def _gpu_budget(gpu: Gpu, models_bytes: int) -> GpuBudget:
    name, size_bytes, used_bytes = gpu
    if size_bytes is None:
        said = f"the memory of {name} is not known here"
        return GpuBudget(
            Capacity(None, said), AutoBudget(None, None, 0, f"auto: unlimited, {said}")
        )
    margin = margin_bytes(size_bytes)
    others = max(0, used_bytes - models_bytes)
    size_mb = size_bytes >> 20
    auto = AutoBudget(
        max(0, size_bytes - margin - others),
        size_bytes - margin,
        margin,
        f"auto: {size_mb} MiB of GPU memory, less {others >> 20} MiB that others use and a margin"
        f" of {margin >> 20} MiB",
    )
    return GpuBudget(Capacity(size_bytes, f"{size_mb} MiB of memory on that GPU"), auto)


def taken_bytes(machine: Machine, pids: Iterable[int]) -> int:
    """Return what processes hold of main memory that the system cannot take back by itself.

    Weights that are mapped from a file are not in it, unless they are locked: the system counts
    them as available.
    """
    total = 0
    for pid in pids:
        rows = machine.table(f"/proc/{pid}/status")
        locked = min(kib(rows, "VmLck"), kib(rows, "RssFile"))
        total += kib(rows, "RssAnon") + kib(rows, "RssShmem") + locked
    return total


def in_sessions(machine: Machine, leaders: Collection[int]) -> list[int]:
    """Return the processes of the sessions that these lead, themselves included.

    It reads a file for each process of the machine, unless there are no leaders.
    """
    if not leaders:
        return []
    pids = (path.name for path in machine.path("/proc").glob("[0-9]*"))
    return [int(pid) for pid in pids if _session_of(machine, pid) in leaders]


def _session_of(machine: Machine, pid: str) -> int | None:
    # The name in parentheses may have blanks in it; what follows it has none.
    fields = machine.text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return int(fields[3]) if len(fields) > 3 else None  # else it has ended meanwhile
