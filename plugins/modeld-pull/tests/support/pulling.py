# SPDX-License-Identifier: GPL-3.0-only
"""Pulls without waiting."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fake_hub import REPO, FakeHub
from modeld_pull.progress import Progress
from modeld_pull.pull import Surroundings, pull
from modeld_pull.reference import Reference, UrlReference, reference_of
from modeld_pull.settings import PullSettings


@dataclass
class Puller:
    """Pulls from a hub into a folder; keeps what it was told, and the waits that it left out."""

    hub: FakeHub
    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    told: list[Progress] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)

    async def pull(self, source: str | Reference = REPO, **settings: Any) -> Sequence[Path]:
        """Pull, and return the files below the folder."""
        reference = reference_of(source) if isinstance(source, str) else source
        own = PullSettings(**({"endpoint": self.hub.url, "keep_free_mb": 0} | settings))
        around = Surroundings(
            models_dir=str(self.root),
            settings=own,
            environ=self.environ,
            sleep=self._sleep,
            **self.more,
        )
        files = await pull(reference, around, self.told.append)
        return [file.relative_to(self.root) for file in files]

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def until_written(self, path: str, size: int) -> None:
        """Return once a file has so many bytes."""
        file = self.root / path
        async with asyncio.timeout(10):
            while not (file.exists() and file.stat().st_size == size):  # noqa: ASYNC110
                await asyncio.sleep(0)

    def there(self) -> list[str]:
        """Return all files below the folder."""
        return sorted(
            str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()
        )


def at_url(url: str, content: bytes) -> UrlReference:
    """Return the reference of a file at a URL, with its own digest."""
    return UrlReference(url=url, sha256=hashlib.sha256(content).hexdigest())
