# SPDX-License-Identifier: GPL-3.0-only
"""Programs from Debian packages, run for what they say."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def program(name: str, package: str) -> str:
    """Return the path of a program; without it the test fails and says how to get it."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.fail(f"{name} is missing; `make debian` brings it (Debian package {package})")
    return found


def run(*command: str | Path, cwd: Path | None = None) -> tuple[int, str]:
    """Return the exit code of a command, and all that it wrote."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout
