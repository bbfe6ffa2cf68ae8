# SPDX-License-Identifier: GPL-3.0-only
"""The suites: which command runs each of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Literal

from testctl.commands import ROOT

Part = Literal["js", "py"]

PYTEST = (sys.executable, "-m", "pytest")
WITHOUT_PACKAGES = "not debian and not browser"
"""What runs without Debian packages; those have verbs of their own."""

SERVERS = ("tests/blackbox", "tests/faults")
BROWSER = "tests/browser"

_INSTALL: dict[Part, tuple[tuple[str, ...], ...]] = {
    "py": (
        ("python3", "scripts/bootstrap.py", "dev"),
        ("python3", "scripts/bootstrap.py", "models"),
    ),
    "js": (("sh", "scripts/js.sh", "install"),),
}


def installing(part: Part) -> tuple[tuple[str, ...], ...]:
    """The commands that install what the suites of one language need."""
    return _INSTALL[part]


def unit(arguments: Sequence[str]) -> list[str]:
    """The tests of core and plugins, without those that start a whole server."""
    plugins = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("plugins/*/tests"))
    left_out = [f"--ignore={folder}" for folder in (*SERVERS, BROWSER)]
    marked = ["-m", WITHOUT_PACKAGES]
    return [*PYTEST, "tests", *plugins, *left_out, *marked, *arguments]


def blackbox(arguments: Sequence[str]) -> list[str]:
    """The tests of a server over real sockets."""
    return [*PYTEST, "tests/blackbox", "-m", WITHOUT_PACKAGES, *arguments]


def faults(arguments: Sequence[str]) -> list[str]:
    """The tests that kill workers, break files and leave in the middle."""
    return [*PYTEST, "tests/faults", "-m", WITHOUT_PACKAGES, *arguments]


def browser(arguments: Sequence[str]) -> list[str]:
    """The tests of the dashboard in a real browser."""
    return [*PYTEST, BROWSER, "-m", "browser", *arguments]


def js() -> list[str]:
    """The dashboard's own checks and tests, in node."""
    return ["sh", "scripts/js.sh", "test"]
