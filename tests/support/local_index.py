# SPDX-License-Identifier: GPL-3.0-only
"""A package index in a folder, of packages that hold nothing but their metadata."""

from __future__ import annotations

import hashlib
import re
import tarfile
import zipfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

NEWER = "9999"
"""A version that nothing was locked at."""


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class LocalIndex:
    """What an index serves some time after the locks were written: newer versions of everything.

    Its packages ask for the same others, with the same extras, as those that are installed here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = folder.as_uri()

    def serve(self, name: str, versions: Iterable[str]) -> dict[str, str]:
        """Add a package; return the hash of each version."""
        project = self.folder / normalized(name)
        project.mkdir(parents=True, exist_ok=True)
        hashes = {version: self._wheel(project, name, version) for version in versions}
        self._list(project)
        return hashes

    def serve_source(self, source: Path) -> str:
        """Add the source distribution in a folder; return its hash."""
        project = self.folder / normalized(source.name.rpartition("-")[0])
        project.mkdir(parents=True, exist_ok=True)
        path = project / f"{source.name}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            archive.add(source, arcname=source.name)
        self._list(project)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def _list(self, project: Path) -> None:
        names = sorted(path.name for path in project.iterdir() if path.suffix in {".whl", ".gz"})
        links = (f'<a href="{name}">{name}</a>' for name in names)
        (project / "index.html").write_text("<!DOCTYPE html>" + "\n".join(links))

    def _wheel(self, project: Path, name: str, version: str) -> str:
        stem = f"{normalized(name).replace('-', '_')}-{version}"
        path = project / f"{stem}-py3-none-any.whl"
        info = f"{stem}.dist-info"
        needs = "".join(f"Requires-Dist: {line}\n" for line in _requirements(name))
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        record = "".join(f"{info}/{each},,\n" for each in ("METADATA", "WHEEL", "RECORD"))
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{info}/METADATA", metadata)
            wheel.writestr(f"{info}/WHEEL", tags)
            wheel.writestr(f"{info}/RECORD", record)
        return hashlib.sha256(path.read_bytes()).hexdigest()


def _requirements(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:  # what only other Pythons or the builds of llama.cpp need
        return []
