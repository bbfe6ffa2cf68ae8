# SPDX-License-Identifier: GPL-3.0-only
"""The instructions that this processor has, against those that a build of llama.cpp uses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

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
_LINE: Final = re.compile(r"^(flags|Features)\s*:(.*)$", re.MULTILINE)


def available(root: Path = ROOT) -> frozenset[str] | None:
    """What the processor has, by ggml's names; ``None`` where the system does not tell."""
    try:
        line = _LINE.search((root / "proc/cpuinfo").read_text(errors="replace"))
    except OSError:
        return None
    if line is None:
        return None
    has = set(line[2].split())
    names = _FLAGS if line[1] == "flags" else _ARM_FLAGS
    return frozenset(name for name, flags in names.items() if has.issuperset(flags))


def unused(built: Iterable[str], has: Iterable[str]) -> tuple[str, ...]:
    """What the processor has and the build was not compiled for."""
    return _in_order(set(has) - set(built))


def lacking(built: Iterable[str], has: Iterable[str]) -> tuple[str, ...]:
    """What the build was compiled for and the processor does not have, as far as is known."""
    kind = _FLAGS if not set(has) & set(_ARM_FLAGS) else _ARM_FLAGS
    return _in_order((set(built) & set(kind)) - set(has))


def _in_order(names: set[str]) -> tuple[str, ...]:
    return tuple(name for name in (*_FLAGS, *_ARM_FLAGS) if name in names)
