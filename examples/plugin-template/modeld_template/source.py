# SPDX-License-Identifier: GPL-3.0-only
"""Finds the models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modeld import ModelSpec, RegistrySource
from modeld.values import FileStamp

FORMAT = "template"


class TemplateSource(RegistrySource):
    """Finds every file in a folder that ends with a suffix."""

    name = "template"

    def __init__(self, folder: str, suffix: str) -> None:
        self._folder = Path(folder).expanduser()
        self._suffix = suffix

    async def list_models(self) -> Sequence[ModelSpec]:
        """Return all models, the unusable ones with their problem. It may block."""
        files = sorted(self._folder.iterdir())
        return [spec_of(file) for file in files if file.name.endswith(self._suffix)]


def spec_of(file: Path) -> ModelSpec:
    """Return a file as a model."""
    stat = file.stat()
    return ModelSpec(
        id=file.name,
        name=file.stem,
        path=str(file),
        format=FORMAT,
        size_bytes=stat.st_size,
        source=TemplateSource.name,
        stamp=FileStamp(
            device=stat.st_dev,
            inode=stat.st_ino,
            size_bytes=stat.st_size,
            mtime_ns=stat.st_mtime_ns,
        ),
        problem=None if stat.st_size else "the file is empty",
    )
