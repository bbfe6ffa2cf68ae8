# SPDX-License-Identifier: GPL-3.0-only
"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from modeld.cli.visible import visible


def rows_as_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their content, two spaces apart; empty cells are shown as ``-``."""
    cells = [list(header), *([visible(cell) or "-" for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def count_text(number: int, noun: str) -> str:
    """A number of things, like ``1 client`` and ``4 clients``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size_text(size_bytes: int) -> str:
    """A size in the unit that keeps it short, like ``93.8 MiB``."""
    size, units = float(size_bytes), iter(("B", "KiB", "MiB", "GiB"))
    unit = next(units)
    for larger in units:
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
