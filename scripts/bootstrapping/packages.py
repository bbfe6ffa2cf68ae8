# SPDX-License-Identifier: GPL-3.0-only
"""Packages from a lock file, installed as they are locked."""

from __future__ import annotations

import subprocess
from pathlib import Path

from checkout import REQUIREMENTS, fail, say, shown

from bootstrapping.commands import run

PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")


def create(venv: Path, base: str) -> Path:
    """Make a virtual environment with the Python ``base``, anew; return its own Python."""
    say(f"making {shown(venv)} with {base}")
    made = subprocess.run([base, "-m", "venv", "--clear", str(venv)], check=False)
    if made.returncode:
        fail(f"`{base} -m venv` failed; on Debian, `apt-get install python3-venv` brings it")
    return venv / "bin" / "python"


def lock(name: str) -> Path:
    """Return the lock file of this name."""
    return REQUIREMENTS / f"{name}.txt"


def install(python: Path, locked: Path, log: Path, *, compiled: bool = False) -> None:
    """Install every package of a lock file, and no other.

    Unless they are ``compiled``, each module is as it is imported first: of most packages, tests
    import a small part.

    A lock file is complete, so nothing is resolved (``--no-deps``). pip would otherwise look for
    the extras that packages ask of each other, find newer versions of them in the index, and
    refuse those because the lock has no hash of them: the lock would hold for as long as the index
    stands still. :func:`check` says whether something is missing.
    """
    count = sum("==" in line for line in locked.read_text().splitlines() if line[:1] not in "# ")
    say(f"installing {count} packages of {shown(locked)}")
    command = [str(python), *PIP, "install", "--require-hashes", "--no-deps", "-r", str(locked)]
    if not compiled:
        command.append("--no-compile")
    run(command, log=log, what="installing packages")


def check(python: Path, log: Path) -> None:
    """End with an error if a package lacks another, or has it in a wrong version."""
    run([str(python), *PIP, "check"], log=log, what="checking the installed packages")
