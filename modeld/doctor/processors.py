# SPDX-License-Identifier: GPL-3.0-only
"""The processors: how many this process may use, and what slows them down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from modeld.doctor.report import ok, warning
from modeld.machine.control_groups import cpu_quota
from modeld.machine.files import Machine
from modeld.settings import Settings
from modeld.values import Finding

_CPU: Final = "/sys/devices/system/cpu"
_STEAL: Final = 7
"""The index of stolen time among the numbers of ``/proc/stat``."""

MOST_STOLEN: Final = 0.05
_SELF_SCALING: Final = ("intel_pstate", "amd-pstate", "amd-pstate-epp")
"""Drivers whose ``powersave`` still runs at full speed under load."""


class Processors(NamedTuple):
    """How many processors there are for this process. ``quota`` is a control group's limit."""

    logical: int
    physical: int
    online: int
    quota: float | None

    @property
    def usable(self) -> float:
        """Return how many cores' work can be done at once."""
        return self.physical if self.quota is None else min(self.physical, self.quota)


def read_processors(machine: Machine) -> Processors:
    """Return the number of processors; where the system does not tell, each one is a core."""
    allowed = machine.allowed_cpus()
    cores = {
        machine.text(f"{_CPU}/cpu{cpu}/topology/thread_siblings_list") or str(cpu)
        for cpu in allowed
    }
    online = _count(machine.text(f"{_CPU}/online")) or len(allowed)
    return Processors(len(allowed), len(cores), online, cpu_quota(machine))


def check_processors(found: Processors, machine: Machine) -> Iterator[Finding]:
    """Say how many processors there are, and what they are."""
    rows = machine.table("/proc/cpuinfo")
    name = rows.get("model name", "unknown kind")
    said = f"{found.physical} cores, {found.logical} processors, {name}"
    if "hypervisor" in rows.get("flags", "").split():
        said += ", in a virtual machine"
    yield ok("processors", said, logical=found.logical, physical=found.physical)
    if found.logical < found.online:
        text = f"this process may use {found.logical} of {found.online} (affinity)"
        yield ok("affinity", text, online=found.online)
    if found.quota is not None and found.quota < 1:
        yield warning(
            "cpu quota",
            f"the control group allows {found.quota:g} of one processor; each thread is stopped"
            " for a part of the time",
            "allow at least one whole processor (CPUQuota=, --cpus, resources.limits.cpu)",
            quota=found.quota,
        )
    elif found.quota is not None:
        text = f"the control group allows {found.quota:g} of {found.logical} processors"
        yield ok("cpu quota", text, quota=found.quota)


def check_threads(found: Processors, settings: Settings) -> Iterator[Finding]:
    """Check whether the settings ask for more computing threads than there are cores for them."""
    for pattern, row in settings.models.items():
        for name in ("threads", "threads_batch"):
            threads = row.get(name)
            if isinstance(threads, int) and threads > found.usable:
                limit = (
                    "the control group's quota" if found.usable < found.physical else "the cores"
                )
                yield warning(
                    "threads",
                    f"models[{pattern!r}].{name} is {threads}, more than {limit}"
                    f" ({found.usable:g}); threads that wait for each other slow all of them down",
                    f"set it to {max(1, int(found.usable))} or leave it out",
                )


def check_load(found: Processors, machine: Machine) -> Iterator[Finding]:
    """Check whether others keep the processors busy, or the system keeps them slow."""
    first = machine.text("/proc/loadavg").split(" ", 1)[0]
    load = float(first) if first else 0.0
    if load > found.logical:
        yield warning(
            "load",
            f"the load average is {load:g} on {found.logical} processors: others compute as well",
            "measure and serve when less runs; `top` shows what it is",
            load=load,
        )
    elif first:
        yield ok("load", f"{load:g} on {found.logical} processors", load=load)
    stolen = _stolen_share(machine)
    if stolen > MOST_STOLEN:
        yield warning(
            "stolen time",
            f"{stolen:.0%} of the processors' time since the start went to other virtual machines",
            "ask for dedicated processors, or compute with fewer threads",
            share=round(stolen, 3),
        )
    driver = machine.text(f"{_CPU}/cpu0/cpufreq/scaling_driver")
    governor = machine.text(f"{_CPU}/cpu0/cpufreq/scaling_governor")
    if governor == "powersave" and driver not in _SELF_SCALING:
        yield warning(
            "governor",
            f"the processors run at their lowest speed ({driver or 'unknown driver'}: powersave)",
            "cpupower frequency-set -g performance",
        )


def _stolen_share(machine: Machine) -> float:
    line = machine.text("/proc/stat").partition("\n")[0].split()[1:9]
    numbers = [int(number) for number in line if number.isdecimal()]
    total = sum(numbers)
    return numbers[_STEAL] / total if len(numbers) > _STEAL and total else 0.0


def _count(ranges: str) -> int:
    """Return how many numbers a list such as ``0-3,8`` has."""
    count = 0
    for part in ranges.split(",") if ranges else ():
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    return count
