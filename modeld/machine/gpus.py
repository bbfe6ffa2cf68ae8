# SPDX-License-Identifier: GPL-3.0-only
"""The GPUs that this process may use, with the memory that each has of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from modeld.machine.files import Machine
from modeld.machine.nvml import visible

_RENDERERS: Final = "/dev/dri"
_SHARING: Final = frozenset(
    {"asahi", "lima", "msm", "panfrost", "panthor", "v3d", "vc4", "vgem", "virtio_gpu", "vkms"}
)
"""Drivers of graphics that have no memory of their own."""


class Gpu(NamedTuple):
    """One GPU: its memory in bytes, ``None`` where nobody tells, and 0 where it shares main memory.

    ``used_bytes`` of it are taken now, as far as that is told.
    """

    name: str
    size_bytes: int | None
    used_bytes: int = 0


def gpus(machine: Machine) -> Iterator[Gpu]:
    """Yield the GPUs that this process may use."""
    yield from _nvidia(machine)
    for _ in machine.path("/dev").glob("dxg"):
        yield Gpu("the GPU /dev/dxg", None)
    for node in sorted(machine.path(_RENDERERS).glob("renderD*")):
        device = f"/sys/class/drm/{node.name}/device"
        match machine.link(f"{device}/driver"):
            case "amdgpu":
                used = machine.number(f"{device}/mem_info_vram_used") or 0
                yield Gpu("the GPU", machine.number(f"{device}/mem_info_vram_total"), used)
            case "i915":
                yield Gpu("the GPU", _local_memory(machine, device))
            case driver if driver in _SHARING:
                yield Gpu("the GPU", 0)
            case "nvidia":
                continue  # its own devices tell whether it may be used
            case _:
                yield Gpu(f"the GPU {_RENDERERS}/{node.name}", None)


def _nvidia(machine: Machine) -> Iterator[Gpu]:
    nodes = sorted(machine.path("/dev").glob("nvidia[0-9]*"))
    if not nodes:
        return  # and the driver, whose start takes a while, is not asked
    told = machine.nvidia()
    known = told and visible(told, machine.environ.get("CUDA_VISIBLE_DEVICES"))
    if known is None or not told:
        yield from (Gpu(f"the GPU /dev/{node.name}", None) for node in nodes)
    else:
        yield from (Gpu("the GPU", each.size_bytes, each.used_bytes) for each in known)


def _local_memory(machine: Machine, device: str) -> int:
    """Return what a card of Intel's has on it; built-in graphics have nothing."""
    cards = machine.path(f"{device}/drm").glob("card*")
    return sum(machine.number(f"{device}/drm/{card.name}/lmem_total_bytes") or 0 for card in cards)
