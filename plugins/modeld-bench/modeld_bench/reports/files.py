# SPDX-License-Identifier: GPL-3.0-only
"""The files that a report is written to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from modeld.errors import ConfigurationError
from modeld_bench.reports.report import Report

PLOTS: Final = (".html", ".png", ".svg")


def check_writable(option: str, name: str) -> None:
    """Find out before the run what would lose its figures after it.

    Raises:
        ConfigurationError: no file can be written there.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        raise ConfigurationError(f"{option}: {name} is a folder")
    if not path.parent.is_dir():
        raise ConfigurationError(f"{option}: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigurationError(f"{option}: {name} cannot be written")


def check_plot(name: str) -> None:
    """Find out whether this can be drawn.

    Raises:
        ConfigurationError: the suffix is none of PLOTS, or no file can be written there.
    """
    if Path(name).suffix.lower() not in PLOTS:
        raise ConfigurationError(f"--plot: {name} ends with none of {', '.join(PLOTS)}")
    check_writable("--plot", name)


def write_plot(report: Report, name: str) -> None:
    """Draw the report as what the suffix says."""
    # matplotlib takes a second to import, and the client needs the time while it measures.
    from modeld_bench.reports.figure import drawn  # noqa: PLC0415
    from modeld_bench.reports.page import html_page  # noqa: PLC0415

    match Path(name).suffix.lower():
        case ".png":
            image = drawn(report, "png")
        case ".svg":
            image = drawn(report, "svg")
        case _:
            image = html_page(report, drawn(report, "svg", titled=False))
    write(image, name)


def write(data: bytes, name: str) -> None:
    """Write a file, in place of what was there."""
    Path(name).expanduser().write_bytes(data)
