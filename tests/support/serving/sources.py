# SPDX-License-Identifier: GPL-3.0-only
"""A model source that says what the test wants it to say."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modeld import ModelSpec, RegistrySource
from modeld.values import FileStamp


class Shelf(RegistrySource):
    """Lists ``specs``, or fails with ``error``; while ``may_go_on`` is clear it says nothing."""

    def __init__(self, *specs: ModelSpec, name: str = "shelf") -> None:
        self.name = name
        self.specs = list(specs)
        self.error: Exception | None = None
        self.asked = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    async def list_models(self) -> Sequence[ModelSpec]:
        self.asked += 1
        self.may_go_on.wait()
        if self.error is not None:
            raise self.error
        return self.specs


class Files(RegistrySource):
    """Lists every file of a folder under its name, with its stamp."""

    name = "files"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.asked = 0

    async def list_models(self) -> Sequence[ModelSpec]:
        self.asked += 1
        return [_spec(path) for path in sorted(self._folder.iterdir())]


def a_spec(model: str, **members: Any) -> ModelSpec:
    return ModelSpec(id=model, name=model, path=f"/models/{model}", **members)


def _spec(path: Path) -> ModelSpec:
    stat = path.stat()
    stamp = FileStamp(
        device=stat.st_dev, inode=stat.st_ino, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns
    )
    return ModelSpec(
        id=path.name, name=path.name, path=str(path), size_bytes=stat.st_size, stamp=stamp
    )
