# SPDX-License-Identifier: GPL-3.0-only
"""The lock files: every package at one version, with its hashes, for all supported Pythons."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path

import environment
import interpreters
import llama_wheel
from checkout import REQUIREMENTS, ROOT, fail, projects, pyproject, say
from commands import run

_PIP_TOOLS = "pip-tools==7.6.2"
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
    python = environment.create(".venv-lock", base, [_PIP_TOOLS])
    llama_wheel.build(python)
    if upgrade:
        for name in ("runtime", "dev"):
            (REQUIREMENTS / f"{name}.txt").unlink(missing_ok=True)
    runtime = _runtime()
    _compile(python, "runtime", runtime, constraint=None)
    _compile(python, "dev", [*runtime, *_groups()], constraint=REQUIREMENTS / "runtime.txt")


def check() -> None:
    """End with an error if a lock file is older than what is declared; no network is used."""
    declared = {"runtime": _runtime(), "dev": [*_runtime(), *_groups()]}
    stale = [
        name
        for name, lines in declared.items()
        if f"sha256:{_digest(lines)}\n" not in (REQUIREMENTS / f"{name}.txt").read_text()
    ]
    if stale:
        fail(
            f"requirements/{stale[0]}.txt does not match the dependencies in pyproject.toml;"
            " run `make lock`"
        )
    say("the lock files match pyproject.toml")


def _runtime() -> list[str]:
    """What serving needs: the dependencies of core and plugins, and what installs them."""
    lines = {llama_wheel.requirement(), "editables"}
    for project in projects():
        declared = pyproject(project)
        lines.update(declared["project"].get("dependencies", ()))
        lines.update(declared["build-system"]["requires"])
    ours = {_name(pyproject(project)["project"]["name"]) for project in projects()}
    return sorted(line for line in lines if _name(line) not in ours)


def _groups() -> list[str]:
    """What testing and checking need: all dependency groups."""
    lines: set[str] = set()
    for project in projects():
        for group in pyproject(project).get("dependency-groups", {}).values():
            lines.update(line for line in group if isinstance(line, str))
    return sorted(lines)


def _name(requirement: str) -> str:
    """The normalised name of the package that a requirement asks for."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _compile(python: Path, name: str, lines: list[str], *, constraint: Path | None) -> None:
    say(f"resolving requirements/{name}.txt from {len(lines)} declared requirements")
    kept = REQUIREMENTS / f"{name}.txt"
    with tempfile.TemporaryDirectory() as folder:
        declared, locked = Path(folder, "declared.in"), Path(folder, "locked.txt")
        declared.write_text("\n".join(lines) + "\n")
        if kept.exists():
            locked.write_text(kept.read_text())
        if constraint:
            (Path(folder) / constraint.name).write_text(constraint.read_text())
        command = [str(python), "-m", "piptools", "compile", "--quiet", "--generate-hashes"]
        command += ["--no-header", "--strip-extras", "--no-emit-index-url"]
        command += ["--no-emit-find-links", "--no-emit-trusted-host"]
        # The wheel is ours alone: its dependencies are locked here, the wheel itself is not.
        command += [
            "--unsafe-package",
            "llama-cpp-python",
            "--find-links",
            str(llama_wheel.folder()),
        ]
        command += ["--constraint", constraint.name] if constraint else []
        run(
            [*command, "--output-file", locked.name, declared.name],
            log=ROOT / ".venv-lock" / "lock.log",
            what="resolving",
            cwd=Path(folder),
        )
        content = _without_warnings(locked.read_text())
    kept.write_text(_HEADER.format(digest=_digest(lines)) + content)


def _without_warnings(locked: str) -> str:
    """Drop the closing remarks about packages that are not pinned here."""
    return (
        re.split(r"\n# (?:WARNING|The following packages)", locked, maxsplit=1)[0].rstrip() + "\n"
    )
