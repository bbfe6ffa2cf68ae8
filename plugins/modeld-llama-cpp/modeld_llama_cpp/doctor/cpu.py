# SPDX-License-Identifier: GPL-3.0-only
"""The processor: its instructions, the threads worth measuring, and what else computes on it."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from modeld_llama_cpp.native.cores import usable_cores

ROOT: Final = Path("/")

_FLAGS: Final = {
    # ggml's name: the kernel's names, all of which it takes
    "SSE3": ("pni",),
    "SSSE3": ("ssse3",),
    "AVX": ("avx",),
    "AVX_VNNI": ("avx_vnni",),
    "AVX2": ("avx2",),
    "F16C": ("f16c",),
    "FMA": ("fma",),
    "BMI2": ("bmi2",),
    "AVX512": ("avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"),
    "AVX512_VBMI": ("avx512vbmi",),
    "AVX512_VNNI": ("avx512_vnni",),
    "AVX512_BF16": ("avx512_bf16",),
    "AMX_INT8": ("amx_tile", "amx_int8"),
}
_ARM_FLAGS: Final = {
    "NEON": ("asimd",),
    "FP16_VA": ("asimdhp",),
    "DOTPROD": ("asimddp",),
    "MATMUL_INT8": ("i8mm",),
    "SVE": ("sve",),
    "SME": ("sme",),
}
_LISTED: Final = re.compile(r"^(flags|Features)\s*:(.*)$", re.MULTILINE)

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_BUSY: Final = (0, 1, 2, 5, 6)
"""Where ``/proc/stat`` has the time of user, nice, system and interrupts. Stolen time is not among
them: on a machine that loses some of it, it is always so."""


def available(root: Path = ROOT) -> frozenset[str] | None:
    """Return the instructions that the processor has, by ggml's names.

    ``None`` where the system does not tell.
    """
    try:
        listed = _LISTED.search((root / "proc/cpuinfo").read_text(errors="replace"))
    except OSError:
        return None
    if listed is None:
        return None
    has = set(listed[2].split())
    names = _FLAGS if listed[1] == "flags" else _ARM_FLAGS
    return frozenset(name for name, flags in names.items() if has.issuperset(flags))


def unused(built: Iterable[str], has: Iterable[str]) -> tuple[str, ...]:
    """Return what the processor has and the build was not compiled for."""
    return _in_order(set(has) - set(built))


def lacking(built: Iterable[str], has: Iterable[str]) -> tuple[str, ...]:
    """Return what the build was compiled for and the processor lacks, as far as is known."""
    kind = _FLAGS if not set(has) & set(_ARM_FLAGS) else _ARM_FLAGS
    return _in_order((set(built) & set(kind)) - set(has))


def thread_counts(also: Iterable[int] = ()) -> tuple[int, ...]:
    """Return 1, 2, half of the cores, all cores, all processors, and ``also``, where they exist."""
    cores = usable_cores()
    logical = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    most = max(logical, *also, 1)
    counts = {1, 2, cores // 2, cores, logical, *also}
    return tuple(sorted(count for count in counts if 1 <= count <= most))


class OtherPrograms:
    """How much of the processors' time other programs take, from when this is made."""

    def __init__(
        self,
        root: Path = ROOT,
        clock: Callable[[], float] = time.monotonic,
        own_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._root, self._clock, self._own_s = root, clock, own_s
        self._begun = self._now()

    def processors(self) -> float:
        """Return it as a number of whole processors; 0.0 where the system does not tell."""
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
        busy = sum(numbers[index] for index in _BUSY if index < len(numbers))
        return self._clock(), busy / _TICKS_PER_S, self._own_s()


def _in_order(names: set[str]) -> tuple[str, ...]:
    return tuple(name for name in (*_FLAGS, *_ARM_FLAGS) if name in names)
