# SPDX-License-Identifier: GPL-3.0-only
"""The GPUs that are in this machine, whatever llama.cpp was built for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path("/")

_VENDORS: Final = {"0x10de": "NVIDIA", "0x1002": "AMD"}
"""Makers of GPUs that are worth a build. Integrated graphics of others compute no faster."""

_DISPLAY, _ACCELERATOR = "0x03", "0x12"
_MODEL: Final = re.compile(r"^Model:\s*(.+)$", re.MULTILINE)


class Gpu(NamedTuple):
    """One GPU. ``is_usable`` where its driver has made a device that a program can open."""

    vendor: str
    name: str
    is_usable: bool


def seen(root: Path = ROOT) -> tuple[Gpu, ...]:
    """Return the GPUs by what their drivers say, or else by what is on the PCI bus."""
    found = tuple(_nvidia(root))
    makers = {gpu.vendor for gpu in found}
    on_bus = (gpu for gpu in _on_bus(root) if gpu.vendor not in makers)
    return (*found, *on_bus)


def _nvidia(root: Path) -> Iterator[Gpu]:
    """Yield what NVIDIA's driver says, or the devices that a container has been given."""
    if not (root / "dev/nvidiactl").exists() and not _numbered(root):
        return
    told = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    for file in told:
        model = _MODEL.search(_text(file))
        yield Gpu("NVIDIA", model[1].strip() if model else "GPU", is_usable=bool(_numbered(root)))
    if not told:
        yield from (Gpu("NVIDIA", path.name, is_usable=True) for path in _numbered(root))


def _numbered(root: Path) -> list[Path]:
    return sorted(path for path in (root / "dev").glob("nvidia[0-9]*"))


def _on_bus(root: Path) -> Iterator[Gpu]:
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        vendor = _VENDORS.get(_text(device / "vendor"))
        kind = _text(device / "class")
        if vendor is not None and kind.startswith((_DISPLAY, _ACCELERATOR)):
            node = "dev/kfd" if vendor == "AMD" else "dev/nvidia0"
            yield Gpu(vendor, f"GPU at {device.name}", is_usable=(root / node).exists())


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
