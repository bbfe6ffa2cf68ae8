# SPDX-License-Identifier: GPL-3.0-only
"""How much memory this machine has for models."""

from __future__ import annotations

from typing import Final, NamedTuple

from modeld.machine.control_groups import memory_limit
from modeld.machine.files import Machine
from modeld.machine.gpus import gpus


class Memory(NamedTuple):
    """Main memory in bytes, as far as this process may use it. ``limited`` by a control group."""

    total_bytes: int
    available_bytes: int
    swap_bytes: int
    swap_free_bytes: int
    limited: bool = False


def read_memory(machine: Machine) -> Memory | None:
    """Return what ``/proc/meminfo`` and the control groups say; ``None`` without either."""
    rows = machine.table("/proc/meminfo")
    if "MemTotal" not in rows:
        return None
    total, available = kib(rows, "MemTotal"), kib(rows, "MemAvailable")
    swap, swap_free = kib(rows, "SwapTotal"), kib(rows, "SwapFree")
    limit = memory_limit(machine)
    if limit is None or limit.limit_bytes >= total:
        return Memory(total, available, swap, swap_free)
    left = limit.limit_bytes - limit.used_bytes
    return Memory(limit.limit_bytes, max(0, min(available, left)), swap, swap_free, limited=True)


class Capacity(NamedTuple):
    """All memory that models can be in, in bytes; ``None`` where that is not known.

    ``said`` is what it is made of, or why it is not known.
    """

    size_bytes: int | None
    said: str


UNKNOWN: Final = Capacity(None, "nobody has looked")


def read_capacity(machine: Machine) -> Capacity:
    """Return main memory, and that of all GPUs together, among which a model may be divided.

    Weights that are mapped from a file count like all others: they must be in memory whenever a
    token is computed, or each token waits for the disk. Swap does not count, for the same reason.
    """
    memory = read_memory(machine)
    if memory is None:
        return Capacity(None, "the system does not tell how much memory there is")
    gpu_bytes = 0
    for name, size_bytes, _ in gpus(machine):
        if size_bytes is None:
            return Capacity(None, f"the memory of {name} is not known here")
        gpu_bytes += size_bytes
    said = _said(memory)
    if gpu_bytes:
        said += f" and {gpu_bytes >> 20} MiB of GPU memory"
    return Capacity(memory.total_bytes + gpu_bytes, said)


def main_capacity(machine: Machine) -> Capacity:
    """Return what main memory there is, apart from that of GPUs."""
    memory = read_memory(machine)
    if memory is None:
        return Capacity(None, "the system does not tell how much memory there is")
    return Capacity(memory.total_bytes, _said(memory))


def _said(memory: Memory) -> str:
    of = " (limit of the control group)" if memory.limited else ""
    return f"{memory.total_bytes >> 20} MiB of main memory{of}"


def kib(rows: dict[str, str], name: str) -> int:
    """Return a row of ``/proc/meminfo`` in bytes; 0 if it is not there."""
    number = rows.get(name, "0").split(" ", 1)[0]
    return int(number) << 10 if number.isdecimal() else 0
