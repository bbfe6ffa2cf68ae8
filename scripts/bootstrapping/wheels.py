# SPDX-License-Identifier: GPL-3.0-only
"""The wheels of this repository: what is published, built from the checkout and installed."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path

from checkout import ROOT, alone, fail, projects, pyproject, say, shown

from bootstrapping import environment, package_guard, packages
from bootstrapping.commands import run

DIST = ROOT / "dist"
VENV = ".venv-wheel"
_CHECKOUT = "tests-of-the-checkout.pth"
_GUARD = "only_installed_packages"


def build(python: Path) -> list[Path]:
    """One wheel for each distribution, in ``dist/`` and nothing else there; the core's first."""
    with alone("dist"):
        shutil.rmtree(DIST, ignore_errors=True)
        return [_build(python, project) for project in projects()]


def _build(python: Path, project: Path) -> Path:
    name = str(pyproject(project)["project"]["name"])
    # It runs in the project's folder, whose packages must not come before the installed ones.
    command = [str(python), "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", str(DIST)]
    log = ROOT / "build" / f"wheel-{name}.log"
    run(command, log=log, what=f"building the wheel of {name}", cwd=project)
    found = list(DIST.glob(f"{name.replace('-', '_')}-[0-9]*.whl"))
    if len(found) != 1:
        fail(f"building {name} left {len(found)} wheels in {shown(DIST)}; see {shown(log)}")
    say(f"built {shown(found[0])}")
    return found[0]


def environment_of(built: list[Path]) -> Path:
    """The Python of ``.venv-wheel``: the locked packages and these wheels, no checkout.

    The checkout stands behind the installed packages on its path, so that ``import tests`` finds
    the tests, while ``import modeld`` finds the wheel.
    """
    python = environment.ensure("packages", VENV)
    venv = python.parent.parent
    pip = [str(python), *packages.PIP]
    command = [*pip, "install", "--no-deps", "--no-index", "--force-reinstall", *map(str, built)]
    run(command, log=venv / "wheels.log", what="installing the wheels")
    packages.check(python, venv / "wheels.log")
    (site,) = venv.glob("lib/python3.*/site-packages")
    guard(site)
    return python


def guard(site: Path) -> None:
    """Put the checkout on the path of ``site``, and have its packages refused there.

    Each Python of the environment looks: a test's servers and workers too, however they end.
    """
    source, guarding = inspect.getsource(package_guard), package_guard.OnlyInstalled.__name__
    names = [pyproject(project)["project"]["name"].replace("-", "_") for project in projects()]
    (site / f"{_GUARD}.py").write_text(
        f"{source}\n\nsys.meta_path.insert(0, {guarding}({str(ROOT)!r}, {names!r}))\n"
    )
    (site / _CHECKOUT).write_text(f"{ROOT}\nimport {_GUARD}\n")
