# SPDX-License-Identifier: GPL-3.0-only
"""All models that the sources have found, by id."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence

from modeld.errors import DrainingError, InvalidModelError, ModelNotFoundError
from modeld.interfaces import RegistrySource
from modeld.settings import nearest
from modeld.values import FileStamp, ModelSpec

RESCAN_INTERVAL_S = 2.0
"""Requests for unknown models look at the sources again at most this often."""

SCAN_LIMIT_S = 60.0
"""How long a source may take to list its models."""

log = logging.getLogger("modeld.registry")


class Registry:
    """Asks every source, keeps what it said last, and finds models by id.

    A source that fails keeps its last good list; :attr:`errors` says what is wrong with it.
    """

    def __init__(
        self, sources: Iterable[RegistrySource], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.errors: dict[str, str] = {}
        self._sources = tuple(sources)
        self._lists: dict[str, tuple[ModelSpec, ...]] = {}
        self._specs: dict[str, ModelSpec] = {}
        self._clock = clock
        self._scanned_s = -RESCAN_INTERVAL_S
        self._scan: asyncio.Task[None] | None = None

    def specs(self) -> Sequence[ModelSpec]:
        """All models, sorted by id, the unusable ones with their problem."""
        return tuple(self._specs[model] for model in sorted(self._specs))

    async def refresh(self) -> None:
        """Ask all sources again. Calls that come meanwhile share the scan under way."""
        if self._scan is None or self._scan.done():
            self._scan = asyncio.get_running_loop().create_task(self._ask_all())
        try:
            await asyncio.shield(self._scan)
        except asyncio.CancelledError:
            if self._scan.cancelled():
                raise DrainingError("the server is shutting down", retry_after_s=1) from None
            raise

    async def aclose(self) -> None:
        """End a scan under way."""
        if self._scan is not None:
            self._scan.cancel()
            await asyncio.wait([self._scan])

    async def find(self, model: str) -> ModelSpec:
        """The model of this id, as its file is now.

        A model that is unknown, unusable or whose file has changed makes the sources be asked
        again first, the first two not more often than every :data:`RESCAN_INTERVAL_S`.

        Raises:
            ModelNotFoundError: there is none of this id.
            InvalidModelError: there is, but its file cannot be used.
        """
        spec = self._specs.get(model)
        if spec is None or spec.problem is not None:
            if self._clock() - self._scanned_s >= RESCAN_INTERVAL_S:
                await self.refresh()
        elif spec.stamp is not None and _stamp(spec.path) != spec.stamp:
            await self.refresh()
        spec = self._specs.get(model)
        if spec is None:
            raise ModelNotFoundError(
                f"there is no model {model!r}{nearest(model, list(self._specs))}", field="model"
            )
        if spec.problem is not None:
            raise InvalidModelError(f"model {model!r} cannot be used: {spec.problem}")
        return spec

    def known(self, model: str) -> ModelSpec:
        """The model of this id as of the last scan.

        Raises:
            ModelNotFoundError: there is none of this id.
        """
        if model not in self._specs:
            raise ModelNotFoundError(f"there is no model {model!r}", field="model")
        return self._specs[model]

    async def _ask_all(self) -> None:
        await asyncio.gather(*(self._ask(source) for source in self._sources))
        self._specs = self._merged()
        self._scanned_s = self._clock()

    async def _ask(self, source: RegistrySource) -> None:
        try:
            async with asyncio.timeout(SCAN_LIMIT_S):
                self._lists[source.name] = _checked(await source.list_models())
        except TimeoutError:
            self._note_fault(source, f"it took longer than {SCAN_LIMIT_S:g} s")
        except Exception as exc:  # noqa: BLE001  (a source's fault must not stop the server)
            self._note_fault(source, str(exc))
        else:
            self.errors.pop(source.name, None)

    def _note_fault(self, source: RegistrySource, why: str) -> None:
        self.errors[source.name] = f"{source.name}: {why}"
        log.error("source %s failed: %s", source.name, why)

    def _merged(self) -> dict[str, ModelSpec]:
        specs: dict[str, ModelSpec] = {}
        for source in self._sources:
            for spec in self._lists.get(source.name, ()):
                known = specs.setdefault(spec.id, spec)
                if known is not spec:
                    log.warning("model %s of %s is hidden by another", spec.id, source.name)
        return specs


def _checked(listed: Sequence[ModelSpec]) -> tuple[ModelSpec, ...]:
    """What a source has listed, if it is what a source must list."""
    for spec in listed:
        if not isinstance(spec, ModelSpec):
            raise TypeError(f"it listed {spec!r}, which is no ModelSpec")
    return tuple(listed)


def _stamp(path: str) -> FileStamp | None:
    """What the file is now; a look at an inode, quick enough for the event loop."""
    try:
        stat = os.stat(path)  # noqa: PTH116  (a Path costs more than the call)
    except OSError:
        return None
    return FileStamp(
        device=stat.st_dev, inode=stat.st_ino, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns
    )
