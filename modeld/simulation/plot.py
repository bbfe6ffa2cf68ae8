# SPDX-License-Identifier: GPL-3.0-only
"""Draws what a comparison has come to: waits, swaps and refusals over the budget, as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

from modeld.simulation.figures import Figures

GIB: Final = 1 << 30
WIDTH: Final = 900
HEIGHT: Final = 300
PANEL: Final = 220
INNER_LEFT: Final = 50
INNER_WIDTH: Final = 156
TOP: Final = 60
BOTTOM: Final = 250
GRID: Final = 4

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Of Okabe and Ito, which all readers can tell apart."""

_STYLE: Final = """\
  <style>
    text { font: 12px system-ui, sans-serif; fill: #1c2b2a; }
    .title { font-weight: 600; }
    .paper { fill: #fbfdfc; stroke: #cfd8d6; }
    .grid { stroke: #cfd8d6; }
    .curve { fill: none; stroke-width: 2; }
  </style>"""


class _Panel(NamedTuple):
    title: str
    value: Callable[[Figures], float]


_PANELS: Final = (
    _Panel("wait, mean (s)", lambda each: each.wait_mean_s),
    _Panel("wait, 99th percentile (s)", lambda each: each.wait_p99_s),
    _Panel(
        "swaps per 1,000 requests",
        lambda each: 1000 * each.swaps / each.requests if each.requests else 0.0,
    ),
    _Panel("refused (%)", lambda each: 100 * each.refused_share),
)


def drawn(title: str, found: Sequence[Figures]) -> str:
    """Return a picture of its own: it loads nothing, and needs no other file."""
    policies = list(dict.fromkeys(each.policy for each in found))
    colours = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(policies)}
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(title)}">'
    )
    rows = [
        head,
        _STYLE,
        f'  <rect class="paper" x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}"/>',
        f'  <text class="title" x="16" y="24">{escape(title)}</text>',
        *_legend(colours),
    ]
    for at, panel in enumerate(_PANELS):
        rows += _drawn_panel(at * PANEL + INNER_LEFT, panel, found, colours)
    return "\n".join([*rows, "</svg>", ""])


def _legend(colours: dict[str, str]) -> Iterator[str]:
    x = WIDTH - 120 * len(colours)
    for name, colour in colours.items():
        yield f'  <rect x="{x}" y="15" width="14" height="10" fill="{colour}"/>'
        yield f'  <text x="{x + 20}" y="24">{escape(name)}</text>'
        x += 120


def _drawn_panel(
    left: float, panel: _Panel, found: Sequence[Figures], colours: dict[str, str]
) -> Iterator[str]:
    yield f'  <text class="title" x="{left}" y="{TOP - 12}">{panel.title}</text>'
    top_value = _round_up(max(panel.value(each) for each in found))
    for step in range(GRID + 1):
        y = BOTTOM - (BOTTOM - TOP) * step / GRID
        label = f"{top_value * step / GRID:g}"
        yield (
            f'  <line class="grid" x1="{left}" y1="{y:g}" x2="{left + INNER_WIDTH}" y2="{y:g}"/>'
        )
        yield f'  <text x="{left - 6}" y="{y + 4:g}" text-anchor="end">{label}</text>'
    budgets = sorted({each.budget_bytes for each in found})
    across = {
        size: left + INNER_WIDTH * (at + 0.5) / len(budgets) for at, size in enumerate(budgets)
    }
    for size, x in across.items():
        text = f"{size / GIB:.3g}"
        yield f'  <text x="{x:g}" y="{BOTTOM + 18}" text-anchor="middle">{text}</text>'
    yield f'  <text x="{left}" y="{BOTTOM + 36}">budget (GiB)</text>'
    for name, colour in colours.items():
        points = [
            (across[each.budget_bytes], BOTTOM - (BOTTOM - TOP) * panel.value(each) / top_value)
            for each in sorted(found, key=lambda each: each.budget_bytes)
            if each.policy == name
        ]
        path = " ".join(f"{x:g},{y:.1f}" for x, y in points)
        yield f'  <polyline class="curve" stroke="{colour}" points="{path}"/>'
        for x, y in points:
            yield f'  <circle cx="{x:g}" cy="{y:.1f}" r="3" fill="{colour}"/>'


def _round_up(value: float) -> float:
    """Return a number with one digit, or two where that is closer, that is no less."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(unit * step for step in (1, 1.2, 1.6, 2, 3, 4, 6, 8, 10) if unit * step >= value)
