# SPDX-License-Identifier: GPL-3.0-only
"""The clients that people use, in an environment of their own, which lies outside the checkout."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import packages
from checkout import CACHE, ROOT, alone, fail, say, shown
from commands import run as run_command

_TESTS = "tests/clients"
_JS = ROOT / _TESTS / "js"
_JS_FILES = ("package.json", "package-lock.json")
_DONE = "installed"


def run(arguments: list[str]) -> None:
    """Run the tests with the clients in place of this process."""
    python = _ensure()
    os.environ["MODELD_CLIENTS_NODE_MODULES"] = str(_ensure_js())
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

    def install(venv: Path) -> None:
        python, log = packages.create(venv, sys.executable), venv / "install.log"
        packages.install(python, locked, log)
        packages.check(python, log)

    return _installed("python", f"{locked.read_text()} {sys.version}", install) / "bin" / "python"


def _ensure_js() -> Path:
    """Return the folder of the clients for JavaScript, as they are locked too."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        fail(
            "there are no node and npm for the clients for JavaScript; install Node.js 20 or later"
        )

    def install(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _JS_FILES:
            shutil.copy(_JS / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        log = folder / "install.log"
        run_command(command, log=log, what="installing clients for JavaScript", cwd=folder)

    key = " ".join((_JS / name).read_text() for name in _JS_FILES)
    return _installed("js", key, install) / "node_modules"


def _installed(kind: str, key: str, install: Callable[[Path], None]) -> Path:
    """Return a folder outside the checkout in which ``install`` has done its work for ``key``."""
    folder = CACHE / "clients" / f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    with alone(str(folder)):
        if not (folder / _DONE).exists():
            install(folder)
            (folder / _DONE).touch()
            say(f"clients are installed in {shown(folder)}")
    return folder
