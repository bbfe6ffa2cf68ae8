# SPDX-License-Identifier: GPL-3.0-only
"""The programs from Debian that these tests run: Chromium and nginx."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


def program(name: str) -> str:
    """Return the path of a program; without it the test fails, and says how to get it."""
    # /usr/sbin is not on the path of everybody who may run what is in it.
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        pytest.fail(f"{name} is not installed; `make apt` brings it", pytrace=False)
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a headless Chromium; ``MODELD_CHROMIUM`` names another one than Debian's."""
    path = program(os.environ.get("MODELD_CHROMIUM") or "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
