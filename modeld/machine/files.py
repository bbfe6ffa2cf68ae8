# SPDX-License-Identifier: GPL-3.0-only
"""The machine as seen through its files, limits and clock. Tests bring another one."""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from modeld.machine.nvml import NvidiaGpu, nvidia_gpus

MOST_BYTES: Final = 1 << 20
"""No file that a check reads is longer than this."""


def _allowed_cpus() -> Collection[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return range(os.cpu_count() or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where the checks read. ``root`` is where ``/proc`` and ``/sys`` are looked for."""

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    limit: Callable[[int], tuple[int, int]] = resource.getrlimit
    allowed_cpus: Callable[[], Collection[int]] = _allowed_cpus
    disk: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage
    now_unix: Callable[[], float] = time.time
    nvidia: Callable[[], Sequence[NvidiaGpu] | None] = nvidia_gpus

    def path(self, name: str) -> Path:
        """Return the path of a file of this machine by its absolute name."""
        return self.root / name.lstrip("/")

    def text(self, name: str) -> str:
        """Return what a file says, without white space around it; nothing if it cannot be read."""
        try:
            with self.path(name).open("rb") as file:
                return file.read(MOST_BYTES).decode(errors="replace").strip()
        except OSError:
            return ""

    def link(self, name: str) -> str:
        """Return the last part of what a symbolic link points to; nothing if it is none."""
        try:
            return self.path(name).readlink().name
        except OSError:
            return ""

    def number(self, name: str) -> int | None:
        """Return the number in a file; ``None`` if there is none."""
        text = self.text(name)
        return int(text) if text.lstrip("-").isdecimal() else None

    def table(self, name: str) -> dict[str, str]:
        """Return the lines ``key: value`` of a file; of equal keys the first one counts."""
        rows: dict[str, str] = {}
        for line in self.text(name).splitlines():
            key, colon, value = line.partition(":")
            if colon:
                rows.setdefault(key.strip(), value.strip())
        return rows
