# SPDX-License-Identifier: GPL-3.0-only
"""Sizes as people write and read them, like ``8GiB``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT])(?:iB)?\s*", re.ASCII | re.IGNORECASE)
_EXPONENTS: Final = {"K": 10, "M": 20, "G": 30, "T": 40}


def size_of(text: str, unit_bytes: int) -> int | None:
    """Return a size such as ``8GiB`` or ``8G`` in ``unit_bytes``; ``None`` for other text.

    All units are powers of 1024. ``8GB`` is none: some mean 8,000,000,000 bytes by it. A size that
    is no whole number of units is none either.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    size = Fraction(found[1]) * (1 << _EXPONENTS[found[2].upper()]) / unit_bytes
    return int(size) if size.denominator == 1 else None


def whole_mib(size_bytes: int) -> int:
    """Return a size in MiB, rounded up, so that what is held never looks smaller than it is."""
    return -(-size_bytes >> 20)


def mib_by_name(sizes: Mapping[str, int]) -> dict[str, int] | None:
    """Return sizes in MiB, rounded up; ``None`` where there are none."""
    return {name: whole_mib(size) for name, size in sizes.items()} or None


def size_text(size_bytes: int) -> str:
    """Return a size in the unit that keeps it short, like ``93.8 MiB``."""
    size, units = float(size_bytes), iter(("B", "KiB", "MiB", "GiB"))
    unit = next(units)
    for larger in units:
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
