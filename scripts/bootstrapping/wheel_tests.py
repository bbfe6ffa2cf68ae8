# SPDX-License-Identifier: GPL-3.0-only
"""Runs the tests against the installed wheels, and measures which lines and branches they reach.

The tests run in a folder of their own, so that nothing but the tests comes from the checkout.
That is not taken on trust: the measurement, which covers the processes that tests start too, lists
its files, and one of the checkout's packages among them is a failure.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from checkout import ROOT, fail, projects, pyproject, say, shown

_SETTINGS = ROOT / "pyproject.toml"
_PATHS = ("tests", "plugins")

_LIST_FILES = """\
import json, sys
from coverage import CoverageData
from coverage.exceptions import DataError
files, unreadable = set(), []
for name in sys.argv[1:]:
    data = CoverageData(basename=name)
    try:
        data.read()
        files |= data.measured_files()
    except DataError:
        unreadable.append(name)
print(json.dumps([sorted(files), unreadable]))
"""


def run(python: Path, arguments: list[str], *, minimum: float) -> None:
    """Run pytest with ``arguments``; end with an error if a test fails or too little is reached.

    Paths among the arguments are meant from the checkout's root. ``minimum`` is in per cent.
    """
    folder = python.parent.parent / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    environ = os.environ | {"COVERAGE_FILE": str(folder / "coverage")}
    coverage = [str(python), "-m", "coverage"]
    pytest = ["-m", "pytest", f"--rootdir={ROOT}", "-c", str(_SETTINGS), "-o", "pythonpath="]
    settings = f"--rcfile={_SETTINGS}"
    say(f"testing the wheels that are installed in {shown(python.parent.parent)}")
    command = [*coverage, "run", settings, *pytest, *map(_from_root, arguments)]
    tests = subprocess.run(command, cwd=folder, env=environ, check=False).returncode
    _check_measured(python, folder)
    # The files' places among the wheels become those in the checkout, as pyproject.toml says.
    for step in (
        ["combine", "--quiet", settings],
        ["report", settings, "--skip-covered", f"--fail-under={minimum:g}"],
    ):
        done = subprocess.run([*coverage, *step], cwd=ROOT, env=environ, check=False).returncode
        if done and not tests:
            fail(f"`coverage {step[0]}` failed with exit code {done}")
    if tests:
        fail(f"the tests failed on the installed wheels with exit code {tests}")


def _from_root(argument: str) -> str:
    """The argument, as an absolute path if it names tests of the checkout."""
    path = argument.partition("::")[0]
    if path.partition("/")[0] in _PATHS and (ROOT / path).exists():
        return str(ROOT / argument)
    return argument


def _check_measured(python: Path, folder: Path) -> None:
    data = [str(path) for path in folder.glob("coverage.*")]
    command = [str(python), "-c", _LIST_FILES, *data]
    listed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    names, unreadable = json.loads(listed.stdout)
    for name in unreadable:
        # Tests kill processes, and one of them may have been about to write what it had reached.
        say(f"{Path(name).name} was cut short and does not count")
        Path(name).unlink()
    measured = [Path(name) for name in names]
    wrong = from_the_checkout(measured)
    if wrong:
        fail(
            f"{len(wrong)} files of the checkout ran where those of the wheels should have,"
            f" {shown(wrong[0])} for one"
        )
    if not measured:
        fail("no file of the installed wheels was measured")
    say(f"{len(measured)} files of the installed wheels were measured, none of the checkout's")


def from_the_checkout(files: Iterable[Path]) -> list[Path]:
    """Those of ``files`` that belong to a package as it lies in the checkout."""
    names = [(each, pyproject(each)["project"]["name"].replace("-", "_")) for each in projects()]
    packages = [project / name for project, name in names]
    return [file for file in files if any(file.is_relative_to(package) for package in packages)]
