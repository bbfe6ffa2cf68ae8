# SPDX-License-Identifier: GPL-3.0-only
"""How many threads are worth measuring on this machine, and what else computes meanwhile."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from modeld_llama_cpp.cores import usable_cores

ROOT: Final = Path("/")

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_BUSY: Final = (0, 1, 2, 5, 6)
"""The places of user, nice, system and interrupts in ``/proc/stat``. Stolen time is not among them:
on a machine that loses some of it, it is always so."""


def counts(also: Iterable[int] = ()) -> tuple[int, ...]:
    """1, 2, half of the cores, all cores, all processors, and ``also``: those that there can be."""
    cores = usable_cores()
    logical = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    most = max(logical, *also, 1)
    numbers = {1, 2, cores // 2, cores, logical, *also}
    return tuple(sorted(number for number in numbers if 1 <= number <= most))


class Others:
    """How much of the processors' time other processes take, from when this is made."""

    def __init__(
        self,
        root: Path = ROOT,
        clock: Callable[[], float] = time.monotonic,
        own_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._root, self._clock, self._own_s = root, clock, own_s
        self._begun = self._now()

    def processors(self) -> float:
        """As a number of whole processors; 0.0 where the system does not tell."""
        (clock_s, busy_s, own_s), (then_s, busy_then_s, own_then_s) = self._now(), self._begun
        if clock_s <= then_s:
            return 0.0
        return max(0.0, (busy_s - busy_then_s) - (own_s - own_then_s)) / (clock_s - then_s)

    def _now(self) -> tuple[float, float, float]:
        try:
            text = (self._root / "proc/stat").read_text(encoding="ascii")
        except OSError:
            return 0.0, 0.0, 0.0
        numbers = [int(number) for number in text.partition("\n")[0].split()[1:]]
        busy = sum(numbers[place] for place in _BUSY if place < len(numbers))
        return self._clock(), busy / _TICKS_PER_S, self._own_s()
