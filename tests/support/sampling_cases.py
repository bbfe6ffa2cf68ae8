# SPDX-License-Identifier: GPL-3.0-only
"""The numbers of the sampling table, at the ends of their ranges and beyond them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import inspect

from modeld.sampling import COMMON, SamplingParameter

SMALLEST = 5e-324


def numbers(rows: Iterable[SamplingParameter]) -> list[tuple[str, float, float, list[Any]]]:
    """Return each number's name, its lowest and its highest value, and some that are refused."""
    found = []
    for row in rows:
        kind = row.kind
        if not isinstance(kind, inspect.IntType | inspect.FloatType):
            continue
        assert kind.le is not None
        if kind.gt is not None:
            lowest, below = kind.gt + SMALLEST, [kind.gt, kind.gt - 1]
        else:
            assert kind.ge is not None
            lowest = kind.ge
            below = [kind.ge - (2 if row.unset is not None else 1)]
        if isinstance(kind, inspect.IntType):
            outside = [*below, kind.le + 1, lowest + 0.5, 2**70]
        else:
            outside = [*below, lowest - 0.009, kind.le + 0.1, 1e300]
        found.append((row.name, lowest, kind.le, outside))
    return found


NUMBERS = numbers(COMMON)
"""Those that every engine knows."""
