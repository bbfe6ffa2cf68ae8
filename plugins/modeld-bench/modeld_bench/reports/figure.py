# SPDX-License-Identifier: GPL-3.0-only
"""A report as a picture, drawn with matplotlib."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from modeld.terminal import visible
from modeld_bench.reports.distribution import Distribution
from modeld_bench.reports.report import Report, number_text, share_text
from modeld_bench.reports.summary import Summary

Format = Literal["svg", "png"]

_INK: Final = "#1f2933"
_FAINT: Final = "#9aa5b1"
_BLUE: Final = "#1f6feb"
_PALE: Final = "#cfe0fc"
_RED: Final = "#c2410c"
_BOXES: Final[dict[str, Any]] = {
    "widths": 0.4,
    "showfliers": True,
    "patch_artist": True,
    "boxprops": {"facecolor": _PALE, "edgecolor": _BLUE},
    "medianprops": {"color": _BLUE, "linewidth": 2},
    "whiskerprops": {"color": _BLUE},
    "capprops": {"color": _BLUE},
    "flierprops": {"marker": "o", "markersize": 4, "markerfacecolor": _RED, "markeredgewidth": 0},
    "manage_ticks": False,
}
_LOG_FROM: Final = 30.0
"""Where the longest time shown is this many times the shortest, the axis is logarithmic."""

_STYLE: Final[dict[Any, Any]] = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": _INK,
    "text.parse_math": False,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": "#e4e7eb",
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.fonttype": "none",  # letters stay letters: they can be searched, read aloud and copied
    "svg.hashsalt": "modeld",
}


def drawn(report: Report, kind: Format, *, titled: bool = True) -> bytes:
    """Return rates, times to the first token and gaps by number of clients, as an image file.

    ``titled`` puts the model and the server above it.
    """
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a name in letters the font has not
        layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.12)
        figure = Figure(figsize=(10, 6.4), dpi=150, layout=layout, facecolor="white")
        if titled:
            figure.suptitle(_title(report), x=0.015, ha="left", fontsize=12)
        axes = figure.subplot_mosaic([["rate", "rate"], ["first", "gap"]])
        _rates(axes["rate"], report.levels)
        _times(axes["first"], report.levels, "time to first token", lambda each: each.first_token_s)
        _times(axes["gap"], report.levels, "gap between tokens", lambda each: each.gap_s)
        image = io.BytesIO()
        # Without these the file would name the moment and the drawing program's web page.
        nobody = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[kind]
        figure.savefig(image, format=kind, metadata=nobody)
    return image.getvalue()


def _title(report: Report) -> str:
    name = visible(report.model or "the server's default model")
    return f"{name} at {visible(report.plan.url)}"


def _rates(axes: Axes, levels: Sequence[Summary]) -> None:
    positions = range(len(levels))
    rates = [level.tokens_per_s for level in levels]
    bars = axes.bar(positions, rates, width=0.5, color=_BLUE)
    axes.bar_label(bars, [number_text(rate) for rate in rates], padding=2)
    axes.set(title="tokens generated per second", ylabel="tokens/s")
    axes.set_ylim(0, max(rates, default=0) * 1.12 or 1)
    _by_clients(axes, levels, _rate_label)


def _times(
    axes: Axes,
    levels: Sequence[Summary],
    what: str,
    times_of: Callable[[Summary], Distribution | None],
) -> None:
    """Draw a box for each level: its middle half, median, whiskers and a dot.

    The whiskers stand at 5 and 95 %, the dot at 99 %.
    """
    found = [
        (position, times)
        for position, level in enumerate(levels)
        if (times := times_of(level)) is not None
    ]
    longest = max((times.p99 for _, times in found), default=0.0)
    scale, unit = (1000, "ms") if longest < 1 else (1, "s")
    if found:
        boxes = [_box(times, scale) for _, times in found]
        axes.bxp(boxes, positions=[position for position, _ in found], **_BOXES)
    # Pieces that come together have no gap to speak of, which a logarithmic axis would be full of.
    shortest = min((max(times.p5, times.p50 / 10) for _, times in found), default=0.0)
    _span(axes, shortest * scale, longest * scale)
    axes.set(title=what, ylabel=f"{what} ({unit})")
    _by_clients(axes, levels)


def _span(axes: Axes, shortest: float, longest: float) -> None:
    """Let the axis of times reach from the shortest to the longest, or from zero where it can."""
    if shortest > 0 and longest / shortest > _LOG_FROM:
        axes.set_yscale("log")
        axes.set_ylim(shortest * 0.8, longest * 1.3)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        axes.set_ylim(0, longest * 1.08 or 1)


def _box(times: Distribution, scale: float) -> dict[str, Any]:
    return {
        "whislo": times.p5 * scale,
        "q1": times.p25 * scale,
        "med": times.p50 * scale,
        "q3": times.p75 * scale,
        "whishi": times.p95 * scale,
        "fliers": [times.p99 * scale],
    }


def _clients_label(level: Summary) -> str:
    return str(level.concurrency)


def _rate_label(level: Summary) -> str:
    """Return the clients, and the share of failures where there are some."""
    return (
        f"{level.concurrency}\nfailed:\n{share_text(level.failed_share)}"
        if level.failed
        else _clients_label(level)
    )


def _by_clients(
    axes: Axes, levels: Sequence[Summary], label_of: Callable[[Summary], str] = _clients_label
) -> None:
    axes.set_xticks(range(len(levels)), [label_of(level) for level in levels])
    axes.set_xlim(-0.6, len(levels) - 0.4)
    axes.set_xlabel("clients at once")
    axes.tick_params(axis="x", length=0)
