# SPDX-License-Identifier: GPL-3.0-only
"""The clients that people use, in an environment of their own, which lies outside the checkout."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import packages
from checkout import CACHE, ROOT, alone, say

_TESTS = "tests/clients"
_DONE = "installed"


def run(arguments: list[str]) -> None:
    """Run the tests with the clients in place of this process."""
    python = _ensure()
    os.chdir(ROOT)
    os.execv(
        python, [str(python), "-m", "pytest", "-c", f"{_TESTS}/pytest.ini", *_chosen(arguments)]
    )


def _chosen(arguments: list[str]) -> list[str]:
    named = any(argument.startswith(_TESTS) for argument in arguments)
    return arguments if named else [_TESTS, *arguments]


def _ensure() -> Path:
    """Return the Python of an environment with exactly what is locked; another lock has another."""
    locked = packages.lock("clients")
    key = f"{locked.read_text()} {sys.version}"
    venv = CACHE / "clients" / hashlib.sha256(key.encode()).hexdigest()[:12]
    python = venv / "bin" / "python"
    with alone(str(venv)):
        if not (venv / _DONE).exists():
            packages.create(venv, sys.executable)
            log = venv / "install.log"
            packages.install(python, locked, log)
            packages.check(python, log)
            (venv / _DONE).touch()
            say("the clients are installed")
    return python
