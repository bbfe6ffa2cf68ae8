# SPDX-License-Identifier: GPL-3.0-only
"""Another revision of this repository, to compare with: a git worktree with its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from checkout import CACHE, ROOT, alone, fail, say, shown

VARIABLE = "BENCH_BASE"


def bring() -> Path | None:
    """Return the folder of the revision that ``BENCH_BASE`` names, ready to run, if it names one.

    It lies in the cache and stays there, one folder for each commit. What was built for this
    checkout, wheels and downloads, is not built again.
    """
    revision = os.environ.get(VARIABLE, "")
    if not revision:
        return None
    commit = _commit(revision)
    folder = CACHE / "bench-base" / commit
    with alone(f"bench-base-{commit}"):
        if not (folder / "Makefile").exists():
            _git("worktree", "prune")  # of folders that somebody has deleted
            _git("worktree", "add", "--force", "--detach", str(folder), commit)
        say(f"the base is {revision} ({commit[:12]}) in {shown(folder)}")
        command = [sys.executable, str(folder / "scripts" / "bootstrap.py"), "dev"]
        # Its lock files are complete. Revisions that let pip resolve them all the same could be
        # installed only as long as the index stood still.
        own = {**os.environ, "PIP_NO_DEPS": "1"}
        if subprocess.run(command, check=False, env=own).returncode:
            fail(f"{VARIABLE}: no environment can be made for {revision}; see above")
    return folder


def _commit(revision: str) -> str:
    try:
        return _git(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
        )
    except subprocess.CalledProcessError:
        fail(f"{VARIABLE}: there is no revision {revision!r} in this repository")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()
