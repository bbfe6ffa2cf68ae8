# SPDX-License-Identifier: GPL-3.0-only
"""Paths in the checkout, and the messages of scripts."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modeld"


def say(text: str) -> None:
    """Tell the person what is being done."""
    print(f"bootstrap: {text}", flush=True)


def fail(text: str) -> NoReturn:
    """End with one line that says what is wrong and what to do."""
    sys.exit(f"bootstrap: error: {text}")


def projects() -> list[Path]:
    """The distributions of this repository, the core first."""
    return [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


def serving() -> list[Path]:
    """Return the distributions that a server consists of; the others are tools beside it."""
    return [project for project in projects() if _settings(project).get("serves", True)]


def _settings(project: Path) -> dict[str, Any]:
    """Return what a distribution's pyproject.toml says to these scripts."""
    found: dict[str, Any] = pyproject(project).get("tool", {}).get("modeld", {})
    return found


def pyproject(project: Path) -> dict[str, Any]:
    """The content of a distribution's pyproject.toml."""
    return tomllib.loads((project / "pyproject.toml").read_text())


def shown(path: Path) -> str:
    """The path as a person would write it here."""
    if path.is_relative_to(ROOT):
        return str(path.relative_to(ROOT))
    if path.is_relative_to(Path.home()):
        return f"~/{path.relative_to(Path.home())}"
    return str(path)


@contextlib.contextmanager
def alone(work: str) -> Iterator[None]:
    """Do a piece of work in one process at a time; the others wait and say so."""
    locks = CACHE / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", work).strip("-")
    with (locks / name).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is busy with {work}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
