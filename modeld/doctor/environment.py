# SPDX-License-Identifier: GPL-3.0-only
"""The environment: a service manager, a container, and a clock that is right."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Final

from modeld.doctor.report import ok, warning
from modeld.machine.files import Machine
from modeld.values import Finding

EARLIEST_UNIX: Final = 1_735_689_600
"""The beginning of 2025, before which no modeld was made."""

_SHARED: Final = "/dev/shm"  # noqa: S108  (looked at, not written to)
_GROUPS = re.compile(r"docker|kubepods|containerd|libpod|lxc|garden")


def check_manager(machine: Machine) -> Iterator[Finding]:
    """Check whether systemd has started this, and in which way."""
    environ = machine.environ
    if environ.get("NOTIFY_SOCKET"):
        yield ok("systemd", "this runs in a unit with a notify socket")
    elif environ.get("INVOCATION_ID"):
        yield ok("systemd", "this runs in a unit, without a notify socket (Type=notify gives one)")
    else:
        yield ok("systemd", "this does not run in a unit")


def check_container(machine: Machine) -> Iterator[Finding]:
    """Check whether this is a container, and what it lacks."""
    kind = _container(machine)
    yield ok("container", kind or "none", container=kind)
    if not machine.path(_SHARED).is_dir():
        yield warning(
            "shared memory",
            f"there is no {_SHARED}; runtimes that share memory between processes fail without it",
            f"mount a tmpfs at {_SHARED} (docker run does)",
        )
    if not machine.path("/proc/self/stat").exists() and machine.path("/proc").exists():
        yield warning(
            "/proc",
            "it is not mounted, so memory, cores and limits are not known",
            "mount -t proc proc /proc",
        )


def check_clock(machine: Machine) -> Iterator[Finding]:
    """Check whether the clock can be right."""
    now = machine.now_unix()
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    if now < EARLIEST_UNIX:
        yield warning(
            "clock",
            f"it says {shown}, which is before modeld was made; times in logs and in"
            " /status are wrong",
            "set the clock (timedatectl set-ntp true)",
        )
    else:
        yield ok("clock", shown)


def _container(machine: Machine) -> str | None:
    if machine.environ.get("KUBERNETES_SERVICE_HOST"):
        return "Kubernetes"
    if machine.path("/.dockerenv").exists():
        return "Docker"
    if machine.path("/run/.containerenv").exists():
        return "Podman"
    if name := machine.environ.get("container"):
        return name
    found = _GROUPS.search(machine.text("/proc/1/cgroup"))
    return found[0] if found else None
