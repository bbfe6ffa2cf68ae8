# SPDX-License-Identifier: GPL-3.0-only
"""Draws curves in panels side by side, as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

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


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves over the same values: by name, a number for each of them that there is one for."""

    title: str
    curves: Mapping[str, Mapping[float, float]]


def drawn(title: str, panels: Sequence[Panel], across: str) -> str:
    """Return a picture of its own: it loads nothing, and needs no other file.

    ``across`` says what the curves are over.
    """
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    colours = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(names)}
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
    for at, panel in enumerate(panels):
        rows += _drawn_panel(at * PANEL + INNER_LEFT, panel, across, colours)
    return "\n".join([*rows, "</svg>", ""])


def _legend(colours: dict[str, str]) -> Iterator[str]:
    x = WIDTH - 120 * len(colours)
    for name, colour in colours.items():
        yield f'  <rect x="{x}" y="15" width="14" height="10" fill="{colour}"/>'
        yield f'  <text x="{x + 20}" y="24">{escape(name)}</text>'
        x += 120


def _drawn_panel(left: float, panel: Panel, across: str, colours: dict[str, str]) -> Iterator[str]:
    yield f'  <text class="title" x="{left}" y="{TOP - 12}">{escape(panel.title)}</text>'
    top_value = _round_up(max(max(curve.values()) for curve in panel.curves.values()))
    for step in range(GRID + 1):
        y = BOTTOM - (BOTTOM - TOP) * step / GRID
        label = f"{top_value * step / GRID:g}"
        yield (
            f'  <line class="grid" x1="{left}" y1="{y:g}" x2="{left + INNER_WIDTH}" y2="{y:g}"/>'
        )
        yield f'  <text x="{left - 6}" y="{y + 4:g}" text-anchor="end">{label}</text>'
    values = sorted({value for curve in panel.curves.values() for value in curve})
    positions = {
        value: left + INNER_WIDTH * (at + 0.5) / len(values) for at, value in enumerate(values)
    }
    for value, x in positions.items():
        yield f'  <text x="{x:g}" y="{BOTTOM + 18}" text-anchor="middle">{value:.3g}</text>'
    yield f'  <text x="{left}" y="{BOTTOM + 36}">{escape(across)}</text>'
    for name, curve in panel.curves.items():
        points = [
            (positions[value], BOTTOM - (BOTTOM - TOP) * curve[value] / top_value)
            for value in sorted(curve)
        ]
        path = " ".join(f"{x:g},{y:.1f}" for x, y in points)
        yield f'  <polyline class="curve" stroke="{colours[name]}" points="{path}"/>'
        for x, y in points:
            yield f'  <circle cx="{x:g}" cy="{y:.1f}" r="3" fill="{colours[name]}"/>'


def _round_up(value: float) -> float:
    """Return a number with one digit, or two where that is closer, that is no less."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(unit * step for step in (1, 1.2, 1.6, 2, 3, 4, 6, 8, 10) if unit * step >= value)
