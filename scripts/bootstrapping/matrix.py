# SPDX-License-Identifier: GPL-3.0-only
"""The tests on several Pythons, each in an environment of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from checkout import ROOT, fail, say

from bootstrapping import environment, interpreters

FEWEST = 2
"""How many Pythons make a matrix, where the person has named none."""


def run(versions: Sequence[str], pytest: list[str]) -> None:
    """Run the tests on ``versions``, or on the supported Pythons that this machine has.

    Versions that are named must all be there. Otherwise those that are not are listed as
    untested, and :data:`FEWEST` must be.
    """
    found = {each: interpreters.find(each) for each in versions or interpreters.SUPPORTED}
    chosen = choose(found, named=bool(versions))
    with ThreadPoolExecutor() as pool:  # pip uses one core
        pythons = dict(zip(chosen, pool.map(_environment, chosen, chosen.values()), strict=True))
    outcomes = {each: _passes(each, python, pytest) for each, python in pythons.items()}
    say("matrix: " + summary(outcomes, untested=[each for each in found if each not in chosen]))
    failed = [each for each, passed in outcomes.items() if not passed]
    if failed:
        fail(f"the tests failed on Python {', '.join(failed)}")


def choose(found: Mapping[str, str | None], *, named: bool) -> dict[str, str]:
    """Version to path, of the Pythons to test on; end with an error if there are too few."""
    have = {version: path for version, path in found.items() if path is not None}
    missing = [version for version in found if version not in have]
    if named and missing:
        fail(
            f"no Python {', '.join(missing)} was found on PATH or among pyenv's; install it, or"
            ' choose others, for example `make matrix PYTHONS="3.11 3.12"`'
        )
    if not named and len(have) < FEWEST:
        fail(
            f"a matrix needs {FEWEST} Pythons and this machine has {', '.join(have) or 'none'} of"
            f" {', '.join(found)}; install another, or name one, for example"
            " `make matrix PYTHONS=3.11`"
        )
    if missing:
        say(f"matrix: no Python {', '.join(missing)} was found, so it will not be tested")
    return have


def summary(outcomes: Mapping[str, bool], *, untested: Sequence[str]) -> str:
    """One line: what became of each version."""
    words = [f"{each} {'passed' if passed else 'failed'}" for each, passed in outcomes.items()]
    return ", ".join([*words, *(f"{each} not found and not tested" for each in untested)])


def _environment(version: str, base: str) -> Path:
    return environment.ensure("dev", f".venv-{version}", base)


def _passes(version: str, python: Path, pytest: list[str]) -> bool:
    say(f"testing on Python {version}")
    command = [str(python), "-m", "pytest", *pytest]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0
