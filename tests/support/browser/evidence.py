# SPDX-License-Identifier: GPL-3.0-only
"""What is kept of a test that failed: screenshots, traces and the servers' logs."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Error, Page

ARTIFACTS = Path(
    os.environ.get("MODELD_BROWSER_ARTIFACTS") or Path(__file__).parents[2] / "artifacts"
)


class Evidence:
    """The pages and servers of one running test."""

    def __init__(self) -> None:
        self._pages: list[Page] = []
        self._logs: dict[str, Callable[[], str]] = {}

    def watch_page(self, page: Page) -> None:
        """Keep this page's picture and trace if the test fails."""
        page.context.tracing.start(snapshots=True, sources=False, screenshots=False)
        self._pages.append(page)

    def watch_log(self, url: str, log: Callable[[], str]) -> None:
        """Keep this server's log if the test fails."""
        self._logs[url] = log

    def save(self, folder: Path) -> None:
        """Write everything down; what cannot be had any more does not hide the failure."""
        folder.mkdir(parents=True, exist_ok=True)
        missing = []
        for number, page in enumerate(self._pages):
            try:
                page.screenshot(path=folder / _numbered("screenshot", number, ".png"))
            except Error as error:
                missing.append(f"screenshot {number}: {error}\n")
            try:
                page.context.tracing.stop(path=folder / _numbered("trace", number, ".zip"))
            except Error as error:
                missing.append(f"trace {number}: {error}\n")
        for number, log in enumerate(self._logs.values()):
            try:
                (folder / _numbered("server", number, ".log")).write_text(log())
            except OSError as error:
                missing.append(f"log {number}: {error}\n")
        if missing:
            (folder / "missing.txt").write_text("".join(missing))


def _numbered(name: str, number: int, suffix: str) -> str:
    return f"{name}-{number}{suffix}" if number else name + suffix


def folder_of(nodeid: str) -> Path:
    """Return where the evidence of a test goes, whatever characters its name has."""
    file, _, name = nodeid.partition("::")
    return ARTIFACTS / re.sub(r"[^\w.-]+", "-", f"{Path(file).stem}-{name}").strip("-")
