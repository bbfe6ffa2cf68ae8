# SPDX-License-Identifier: GPL-3.0-only
"""How measured times are spread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Percentiles of ``count`` times, in seconds; ``most`` is the longest of them."""

    count: int
    least: float
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float
    p99: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """Return the distribution of ``values``; none where there are none."""
        ordered = sorted(values)
        if not ordered:
            return None
        return cls(
            count=len(ordered),
            least=ordered[0],
            p5=percentile(ordered, 5),
            p25=percentile(ordered, 25),
            p50=percentile(ordered, 50),
            p75=percentile(ordered, 75),
            p95=percentile(ordered, 95),
            p99=percentile(ordered, 99),
            most=ordered[-1],
        )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the value that ``percent`` of the ascending values are at or below.

    Between two values it is interpolated, as NumPy and Excel do by default.
    """
    whole, fraction = divmod((len(ordered) - 1) * percent / 100, 1)
    low = ordered[int(whole)]
    high = ordered[min(int(whole) + 1, len(ordered) - 1)]
    return min(high, low + (high - low) * fraction)


def gaps(moments: Sequence[float]) -> list[float]:
    """Return the times between each moment and the next."""
    return [after - before for before, after in pairwise(moments)]
