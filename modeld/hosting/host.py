# SPDX-License-Identifier: GPL-3.0-only
"""Where engines run: in child processes, or in threads of this one."""

from __future__ import annotations

from abc import ABC, abstractmethod

from modeld.hosting.link import Link
from modeld.hosting.loading import LoadingHost
from modeld.hosting.process import WorkerProcess
from modeld.hosting.spares import SparePool
from modeld.hosting.thread import WorkerThread
from modeld.interfaces import Backend, ReportProgress
from modeld.settings import Settings


class Hosting(ABC):
    """Where engines run; one for the whole server. It makes an engine host for each load."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    async def start(self) -> None:
        """Get ready for the first load."""

    @abstractmethod
    async def worker(self) -> Link:
        """A worker with no model in it."""

    @abstractmethod
    async def aclose(self) -> None:
        """End what is not in use. Engines are closed by those who hold them."""

    @property
    def spares(self) -> int:
        """How many workers wait for a load."""
        return 0

    def engine_host(self, on_progress: ReportProgress) -> LoadingHost:
        """The engine host for one load or one measurement."""
        return LoadingHost(self.worker, self.settings, on_progress)


class ProcessHosting(Hosting):
    """Engines in child processes, some of them started ahead."""

    def __init__(self, settings: Settings, backends: tuple[Backend, ...]) -> None:
        super().__init__(settings)
        imports = tuple(module for backend in backends for module in backend.warm_imports)
        count = settings.spare_workers if backends else 0
        self._spares = SparePool(count, imports, settings.worker_memory_mb)

    async def start(self) -> None:
        """Start the spare workers."""
        await self._spares.start()

    async def worker(self) -> WorkerProcess:
        """A spare worker, or a fresh one."""
        return await self._spares.take()

    async def aclose(self) -> None:
        """End the spare workers."""
        await self._spares.aclose()

    @property
    def spares(self) -> int:
        """How many workers wait for a load."""
        return len(self._spares)


class ThreadHosting(Hosting):
    """Engines in threads of this process."""

    async def start(self) -> None:
        """Nothing to start."""

    async def worker(self) -> WorkerThread:
        """A thread that starts with the load."""
        return WorkerThread()

    async def aclose(self) -> None:
        """Nothing to end."""


def hosting(settings: Settings, backends: tuple[Backend, ...]) -> Hosting:
    """The hosting that the setting ``engine_host`` names."""
    if settings.engine_host == "thread":
        return ThreadHosting(settings)
    return ProcessHosting(settings, backends)
