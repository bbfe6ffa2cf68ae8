# SPDX-License-Identifier: GPL-3.0-only
"""How much memory this machine has for models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from modeld.machine.control_groups import memory_limit
from modeld.machine.files import Machine

_RENDERERS: Final = "/dev/dri"
_SHARING: Final = frozenset(
    {"asahi", "lima", "msm", "panfrost", "panthor", "v3d", "vc4", "vgem", "virtio_gpu", "vkms"}
)
"""Drivers of graphics that have no memory of their own."""


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
    for name, size_bytes in gpus(machine):
        if size_bytes is None:
            return Capacity(None, f"the memory of {name} is not known here")
        gpu_bytes += size_bytes
    said = f"{memory.total_bytes >> 20} MiB of main memory"
    if memory.limited:
        said += " (limit of the control group)"
    if gpu_bytes:
        said += f" and {gpu_bytes >> 20} MiB of GPU memory"
    return Capacity(memory.total_bytes + gpu_bytes, said)


def gpus(machine: Machine) -> Iterator[tuple[str, int | None]]:
    """Yield the GPUs that this process may use, with the memory of their own.

    ``None`` is for what no file tells, 0 for a GPU that shares main memory.
    """
    devices = machine.path("/dev")
    for node in (*sorted(devices.glob("nvidia[0-9]*")), *devices.glob("dxg")):
        yield f"the GPU /dev/{node.name}", None
    for node in sorted(machine.path(_RENDERERS).glob("renderD*")):
        device = f"/sys/class/drm/{node.name}/device"
        match machine.link(f"{device}/driver"):
            case "amdgpu":
                yield "the GPU", machine.number(f"{device}/mem_info_vram_total")
            case "i915":
                yield "the GPU", _local_memory(machine, device)
            case driver if driver in _SHARING:
                yield "the GPU", 0
            case "nvidia":
                continue  # its own devices tell whether it may be used
            case _:
                yield f"the GPU {_RENDERERS}/{node.name}", None


def _local_memory(machine: Machine, device: str) -> int:
    """Return what a card of Intel's has on it; built-in graphics have nothing."""
    cards = machine.path(f"{device}/drm").glob("card*")
    return sum(machine.number(f"{device}/drm/{card.name}/lmem_total_bytes") or 0 for card in cards)


def kib(rows: dict[str, str], name: str) -> int:
    """Return a row of ``/proc/meminfo`` in bytes; 0 if it is not there."""
    number = rows.get(name, "0").split(" ", 1)[0]
    return int(number) << 10 if number.isdecimal() else 0
