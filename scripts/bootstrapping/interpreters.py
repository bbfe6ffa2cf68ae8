# SPDX-License-Identifier: GPL-3.0-only
"""Finds Pythons on this machine. Written so that any Python 3 can read it."""

import os
import shutil
import subprocess
from pathlib import Path

OLDEST = (3, 11)
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")

_PROBE = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"


def _candidates(version: str) -> "list[str]":
    """Paths where Python ``version`` may be, those on PATH first."""
    name = "python" + version
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [path for path in (shutil.which(name), shutil.which("python3")) if path]
    return found + sorted(str(path) for path in pyenv.glob(f"versions/{version}.*/bin/{name}"))


def _is(path: str, version: str) -> bool:
    """Whether ``path`` runs, is of ``version`` and can make virtual environments.

    Running it is the only sure way: a pyenv shim exists for versions that are not switched on,
    and Debian's Python lacks ensurepip until python3-venv is installed.
    """
    try:
        finished = subprocess.run(
            [path, "-c", _PROBE],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return finished.returncode == 0 and finished.stdout.decode().strip() == version


def find(version: str) -> "str | None":
    """The Python of ``version`` (like ``3.12``), or ``None`` if there is none."""
    for path in _candidates(version):
        if _is(path, version):
            return path
    return None


def newest() -> "str | None":
    """The newest supported Python on this machine, or ``None`` if there is none."""
    for version in reversed(SUPPORTED):
        path = find(version)
        if path:
            return path
    return None
