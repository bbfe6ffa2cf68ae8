# SPDX-License-Identifier: GPL-3.0-only
"""The clients that people use, in environments of their own, which lie outside the checkout."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from checkout import CACHE, REQUIREMENTS, ROOT, alone, fail, say, shown

from bootstrapping import packages
from bootstrapping.commands import run as run_command

SDKS = "sdks"
"""The clients of requirements/clients.in, which share an environment."""

_TESTS = "tests/clients"
_APART = f"{_TESTS}/apart/"
_JS = ROOT / _TESTS / "js"
_JS_FILES = ("package.json", "package-lock.json")
_DONE = "installed"


def apart() -> list[str]:
    """Return the names of the clients that have an environment each."""
    return sorted(path.stem for path in (REQUIREMENTS / "clients").glob("*.in"))


def run(names: Sequence[str], arguments: Sequence[str]) -> None:
    """Run the tests with these clients, or with all; end with an error if some failed."""
    known = [SDKS, *apart()]
    for name in names:
        if name not in known:
            fail(f"there is no client {name!r}; there are {', '.join(known)}")
    outcomes = {
        name: _passes(name, [*tests, *options])
        for name, tests, options in _plan(names or known, arguments)
    }
    if not outcomes:
        fail(f"none of these tests is for {', '.join(names or ['a client'])}")
    failed = [name for name, passed in outcomes.items() if not passed]
    words = [f"{name} {'passed' if passed else 'failed'}" for name, passed in outcomes.items()]
    say(f"clients: {', '.join(words)}")
    if failed:
        fail(f"the tests failed with {', '.join(failed)}")


def _plan(names: Sequence[str], arguments: Sequence[str]) -> list[tuple[str, list[str], list[str]]]:
    """Return each client with its tests and pytest's options; without those that have no tests."""
    named = [argument for argument in arguments if argument.startswith(_TESTS)]
    options = [argument for argument in arguments if argument not in named]
    tests = {name: [each for each in named if _owner(each) == name] for name in names}
    if not named:
        tests = {name: [_tests(name)] for name in names}
    return [(name, found, options) for name, found in tests.items() if found]


def _tests(name: str) -> str:
    return _TESTS if name == SDKS else f"{_APART}test_{name.replace('-', '_')}.py"


def _owner(test: str) -> str:
    """Return the client whose environment a test needs."""
    path = test.partition("::")[0]
    return next((name for name in apart() if _tests(name) == path), SDKS)


def _passes(name: str, arguments: list[str]) -> bool:
    python = _ensure("clients" if name == SDKS else f"clients/{name}")
    say(f"testing with {name}")
    command = [str(python), "-m", "pytest", "-c", f"{_TESTS}/pytest.ini"]
    if name != SDKS:  # what frameworks warn of is their own: old names, sockets that stay open
        command += ["-W", "ignore"]
    command += arguments
    environ = dict(os.environ)
    if name == SDKS:
        environ["MODELD_CLIENTS_NODE_MODULES"] = str(_ensure_js())
    return subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode == 0


def _ensure(lock: str) -> Path:
    """Return the Python of an environment with exactly what is locked; another lock has another."""
    locked = packages.lock(lock)

    def install(venv: Path) -> None:
        python, log = packages.create(venv, sys.executable), venv / "install.log"
        packages.install(python, locked, log)
        packages.check(python, log)

    key = f"{locked.read_text()} {sys.version}"
    return _installed(locked.stem, key, install) / "bin" / "python"


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
