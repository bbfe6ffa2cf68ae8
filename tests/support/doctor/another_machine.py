# SPDX-License-Identifier: GPL-3.0-only
"""Machines that do not exist, for the checks of ``modeld doctor``."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modeld.device_bytes import DeviceBytes
from modeld.doctor import inventory
from modeld.doctor.inventory import Inventory, Loadable
from modeld.machine.files import Machine
from modeld.plugins.host import PluginHost
from modeld.settings import Settings
from modeld.values import Finding, ModelSpec, Options
from tests.support.plugins.some_plugins import Thing

NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
GIB = 1 << 30
MIB = 1 << 20

MEMINFO = """\
MemTotal:       16777216 kB
MemFree:         1000000 kB
MemAvailable:    8388608 kB
SwapTotal:       4194304 kB
SwapFree:        4194304 kB
CommitLimit:     9437184 kB
Committed_AS:    8388608 kB
"""


def machine(root: Path, files: Mapping[str, str] | None = None, **fields: Any) -> Machine:
    """Return a machine with these files, no limits, four processors and plenty of disk."""
    for name, text in (files or {}).items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    fields = {
        "environ": {},
        "limit": limits(),
        "allowed_cpus": lambda: range(4),
        "disk": lambda _: (100 * GIB, 50 * GIB, 50 * GIB),
        "now_unix": lambda: 1_800_000_000.0,
        "nvidia": lambda: None,
    } | fields
    return Machine(root=root, **fields)


def a_gpu(root: Path, number: int, driver: str, **files: int) -> Machine:
    """Return a machine with 16 GiB and a GPU; ``files`` are beside its driver."""
    device = root / f"sys/class/drm/renderD{number}/device"
    device.mkdir(parents=True)
    (device / "driver").symlink_to(f"../../bus/pci/drivers/{driver}")
    for name, text in files.items():
        (device / name).write_text(f"{text}\n")
    (root / "dev/dri").mkdir(parents=True, exist_ok=True)
    (root / f"dev/dri/renderD{number}").touch()
    return machine(root, {"/proc/meminfo": MEMINFO})


def limits(**soft_and_hard: tuple[int, int]) -> Any:
    """Limits by name, ``NOFILE`` for example; all others there are none, and no core dumps."""
    known = {"CORE": (0, 0)} | soft_and_hard
    by_number = {getattr(resource, f"RLIMIT_{name}"): pair for name, pair in known.items()}
    return lambda number: by_number.get(number, NO_LIMIT)


def only(findings: Iterable[Finding]) -> Finding:
    """Return the one finding that there is."""
    (finding,) = findings
    return finding


def bad(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with something to do; each of them says what."""
    found = [finding for finding in findings if finding.level != "ok"]
    assert all(finding.fix for finding in found)
    return found


def by_subject(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def spec(model: str, **fields: Any) -> ModelSpec:
    return ModelSpec(id=model, name=model, path=f"/models/{model}", **fields)


def stocked(**need_mb: int) -> Inventory:
    """Return models that can be loaded, by name and need in MiB; their files have as much."""
    backend = Thing(loads=True)
    loadable = {
        model: Loadable(
            spec=spec(model, size_bytes=need << 20),
            backend=backend,
            options=Options(),
            need=DeviceBytes(need << 20),
        )
        for model, need in need_mb.items()
    }
    return Inventory(specs=[each.spec for each in loadable.values()], loadable=loadable)


def listed_in(folder: Path, **settings: object) -> Inventory:
    """Return the models of a folder as the installed plugins see them."""
    given = Settings(models_dir=str(folder), **settings)  # type: ignore[arg-type]
    return asyncio.run(inventory.read(given, PluginHost.discover(given)))
