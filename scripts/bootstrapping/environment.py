# SPDX-License-Identifier: GPL-3.0-only
"""Virtual environments with the locked packages and this repository in them."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Literal

from checkout import ROOT, alone, projects, pyproject, say, serving

from bootstrapping import llama_wheel, packages
from bootstrapping.commands import run

Extent = Literal["runtime", "dev", "packages", "cluster"]
"""What is installed: what serving needs, or also what testing and checking need, each with this
checkout; or the latter without it, or with Ray too."""

_OWN = ".venv"
"""The environment of the person whose checkout this is."""

_STAMP = "bootstrap.json"
_INSTALLING = ("project", "build-system")


def ensure(extent: Extent, name: str = _OWN, base: str = sys.executable) -> Path:
    """The Python of an up-to-date environment; nothing is run if it is up to date already."""
    venv = ROOT / name
    python = venv / "bin" / "python"
    if not _is_current(extent, venv):
        with alone(str(venv)):
            if not python.exists():
                packages.create(venv, base)
            if not _is_current(extent, venv):
                _install(extent, venv)
                say(f"{name} is up to date")
    return python


def _is_current(extent: Extent, venv: Path) -> bool:
    have = _read(venv / _STAMP)
    enough: set[Extent] = {"runtime", "dev"} if extent == "runtime" else {extent}
    return (venv / "bin" / "python").exists() and any(
        have.get(each) == _fingerprint(each, venv) for each in enough
    )


def _install(extent: Extent, venv: Path) -> None:
    """Install the locked packages, llama-cpp-python and this checkout; leave a stamp."""
    python, log, stamp = venv / "bin" / "python", venv / "bootstrap.log", venv / _STAMP
    pip = [str(python), *packages.PIP, "install", "--no-deps", "--no-index"]
    had_wheel = _read(stamp).get("wheel")
    stamp.unlink(missing_ok=True)
    # A person works in it, perhaps as somebody who may not write there or who forbids bytecode.
    for lock in _locks(extent):
        packages.install(python, lock, log, compiled=venv.name == _OWN)
    if had_wheel != llama_wheel.folder().name:
        built = llama_wheel.build(python)
        say(f"installing {llama_wheel.requirement()}")
        command = [*pip, "--force-reinstall", str(built)]
        run(command, log=log, what="installing llama-cpp-python")
    if extent != "packages":
        _install_checkout(pip, log, serving() if extent == "runtime" else projects())
    packages.check(python, log)
    stamp.write_text(
        json.dumps({extent: _fingerprint(extent, venv), "wheel": llama_wheel.folder().name})
    )


def _install_checkout(pip: list[str], log: Path, ours: list[Path]) -> None:
    names = [pyproject(project)["project"]["name"] for project in ours]
    say(f"installing {', '.join(names)} from this checkout")
    editable = [part for project in ours for part in ("-e", str(project))]
    run([*pip, "--no-build-isolation", *editable], log=log, what="installing the checkout")


def _locks(extent: Extent) -> list[Path]:
    names = {"runtime": ["runtime"], "cluster": ["dev", "cluster"]}.get(extent, ["dev"])
    return [packages.lock(name) for name in names]


def _read(stamp: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(stamp.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return content


def _fingerprint(extent: Extent, venv: Path) -> str:
    """A hash of everything that decides what is installed, and where."""
    parts = [path.read_text() for path in (*_locks(extent), llama_wheel.PIN)]
    parts += [llama_wheel.folder().name, os.fspath(venv)]
    for project in projects():
        declared = pyproject(project)
        parts.append(json.dumps([str(project), *(declared[key] for key in _INSTALLING)]))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
