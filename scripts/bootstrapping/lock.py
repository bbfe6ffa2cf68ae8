# SPDX-License-Identifier: GPL-3.0-only
"""The lock files: every package at one version, with its hashes, for all supported Pythons."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from checkout import REQUIREMENTS, ROOT, fail, projects, pyproject, say, serving

from bootstrapping import clients, interpreters, llama_wheel, packages
from bootstrapping.commands import run

_UV = "uv==0.13.9"
_BUILD_TOOLS = (
    "cmake",
    "ninja",
    "scikit-build-core>=0.9.2",
    "setuptools>=77",
    "setuptools-scm>=8",
    "wheel",
)
"""What the sources of llama.cpp's two packages declare that they are built with."""

_SHARED = {"build": "runtime", "dev": "runtime", "cluster": "dev"}
"""Lock files whose packages share an environment with those of another one, which comes first."""

_HEADER = """\
# Written by `make lock`; do not edit. `declared.in` stands for the dependencies that the
# pyproject.toml files declare.
# declared: sha256:{digest}
"""


def write(*, upgrade: bool) -> None:
    """Resolve what the pyproject.toml files declare; versions stay where they can be kept."""
    base = interpreters.find(interpreters.SUPPORTED[0])
    if base is None:
        fail(f"locking needs Python {interpreters.SUPPORTED[0]}, the oldest that is supported")
    venv = ROOT / ".venv-lock"
    python = packages.create(venv, base)
    run([str(python), *packages.PIP, "install", _UV], log=venv / "lock.log", what=f"fetching {_UV}")
    llama_wheel.build(python)
    if upgrade:
        for name in _declared():
            packages.lock(name).unlink(missing_ok=True)
    for name, lines in _declared().items():
        _compile(venv, name, lines)


def check() -> None:
    """End with an error if a lock file is older than what is declared; no network is used."""
    stale = [
        name
        for name, lines in _declared().items()
        if f"sha256:{_digest(lines)}\n" not in _locked(name)
    ]
    if stale:
        fail(f"requirements/{stale[0]}.txt does not match what is declared; run `make lock`")
    say("the lock files match what is declared")


def _locked(name: str) -> str:
    """Return what a lock file says; nothing if there is none yet."""
    path = packages.lock(name)
    return path.read_text() if path.exists() else ""


def _declared() -> dict[str, list[str]]:
    """What each lock file is made from; those that others build on come first."""
    runtime = _runtime()
    return {
        "runtime": runtime,
        "build": list(_BUILD_TOOLS),
        "dev": [*runtime, *_groups()],
        "cluster": [*runtime, *_wanted("cluster")],
        "clients": _wanted("clients"),
        **{name: _wanted(name) for name in map("clients/{}".format, clients.apart())},
    }


def _runtime() -> list[str]:
    """What serving needs: the dependencies of what serves, and what installs them."""
    lines = {llama_wheel.requirement(), "editables"}
    for project in serving():
        declared = pyproject(project)
        lines.update(declared["project"].get("dependencies", ()))
        lines.update(declared["build-system"]["requires"])
    return _foreign(lines)


def _groups() -> list[str]:
    """What testing and checking need besides: dependency groups, and what does not serve."""
    lines: set[str] = set()
    for project in projects():
        declared = pyproject(project)
        for group in declared.get("dependency-groups", {}).values():
            lines.update(line for line in group if isinstance(line, str))
        if project not in serving():
            lines.update(declared["project"].get("dependencies", ()))
    return _foreign(lines - set(_runtime()))


def _wanted(name: str) -> list[str]:
    """What only one environment has beside the rest, from a file of its own: no line is ours."""
    lines = (REQUIREMENTS / f"{name}.in").read_text().splitlines()
    return sorted(line for line in lines if line and not line.startswith("#"))


def _foreign(lines: set[str]) -> list[str]:
    """The requirements that are for packages of others."""
    ours = {_name(pyproject(project)["project"]["name"]) for project in projects()}
    return sorted(line for line in lines if _name(line) not in ours)


def _name(requirement: str) -> str:
    """The normalised name of the package that a requirement asks for."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _compile(venv: Path, name: str, lines: list[str]) -> None:
    """Resolve for all supported Pythons and platforms at once, by markers."""
    say(f"resolving requirements/{name}.txt from {len(lines)} declared requirements")
    kept = packages.lock(name)
    with tempfile.TemporaryDirectory() as folder:
        declared, locked = Path(folder, "declared.in"), Path(folder, "locked.txt")
        declared.write_text("\n".join(lines) + "\n")
        if kept.exists():
            locked.write_text(kept.read_text())
        command = [str(venv / "bin" / "uv"), "pip", "compile", "--quiet", "--generate-hashes"]
        command += ["--universal", "--python-version", interpreters.SUPPORTED[0]]
        command += ["--no-header", *_index(venv)]
        # The wheel is ours alone: its dependencies are locked here, the wheel itself is not. What
        # installs the rest is the environment's own.
        command += ["--no-emit-package", llama_wheel.BINDINGS, "--no-emit-package", "pip"]
        command += ["--find-links", str(llama_wheel.folder())]
        if base := _SHARED.get(name):
            shutil.copy(packages.lock(base), folder)
            command += ["--constraint", f"{base}.txt"]
        run(
            [*command, "--output-file", locked.name, declared.name],
            log=venv / "lock.log",
            what="resolving",
            cwd=Path(folder),
        )
        content = locked.read_text().partition("\n# The following packages")[0].rstrip() + "\n"
    kept.write_text(_HEADER.format(digest=_digest(lines)) + content)


def _index(venv: Path) -> list[str]:
    """The index that pip is set to; uv does not read pip's settings."""
    command = [str(venv / "bin" / "python"), *packages.PIP, "config", "get", "global.index-url"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    chosen = os.environ.get("PIP_INDEX_URL") or told
    return ["--default-index", chosen] if chosen else []
