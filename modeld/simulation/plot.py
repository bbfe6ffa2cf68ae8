# SPDX-License-Identifier: GPL-3.0-only
"""Draws what a comparison has come to: waits, swaps and refusals over the budget, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from modeld.simulation import panels
from modeld.simulation.figures import Figures
from modeld.simulation.panels import Panel

GIB: Final = 1 << 30

_PANELS: Final[tuple[tuple[str, Callable[[Figures], float]], ...]] = (
    ("wait, mean (s)", lambda each: each.wait_mean_s),
    ("wait, 99th percentile (s)", lambda each: each.wait_p99_s),
    (
        "swaps per 1,000 requests",
        lambda each: 1000 * each.swaps / each.requests if each.requests else 0.0,
    ),
    ("refused (%)", lambda each: 100 * each.refused_share),
)


def drawn(title: str, found: Sequence[Figures]) -> str:
    """Return a picture of its own: it loads nothing, and needs no other file."""
    return panels.drawn(
        title, [_panel(name, value, found) for name, value in _PANELS], "budget (GiB)"
    )


def _panel(title: str, value: Callable[[Figures], float], found: Sequence[Figures]) -> Panel:
    curves: dict[str, dict[float, float]] = {}
    for each in found:
        curves.setdefault(each.policy, {})[each.budget_bytes / GIB] = value(each)
    return Panel(title, curves)
