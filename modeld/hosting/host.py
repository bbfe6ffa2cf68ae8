# SPDX-License-Identifier: GPL-3.0-only
"""Where engines run: in child processes, or in threads of this one."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from modeld.hosting.channel.link import Link
from modeld.hosting.loading import LoadingHost
from modeld.hosting.process.warm_workers import WarmImport, WarmWorkers
from modeld.hosting.process.worker_process import WorkerProcess
from modeld.hosting.worker.thread import WorkerThread
from modeld.interfaces import Backend, ReportProgress
from modeld.plugins.faults import NoteFault, only_logged
from modeld.plugins.guard import called, shown
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
        """Return a worker with no model in it."""

    @abstractmethod
    async def aclose(self) -> None:
        """End what is not in use. Engines are closed by those who hold them."""

    @property
    def warm_workers(self) -> int:
        """Return how many workers wait for a load."""
        return 0

    @property
    def pids(self) -> Sequence[int]:
        """Return the processes that models are in, or are loaded in."""
        return ()

    def engine_host(self, on_progress: ReportProgress) -> LoadingHost:
        """Return the engine host for one load or one measurement."""
        return LoadingHost(self.worker, self.settings, on_progress)


class ProcessHosting(Hosting):
    """Engines in child processes, some of them started ahead."""

    def __init__(
        self, settings: Settings, backends: tuple[Backend, ...], note: NoteFault = only_logged
    ) -> None:
        super().__init__(settings)
        imports = [pair for backend in backends for pair in warm_imports(backend, note)]
        variables = frozenset(name for each in backends for name in worker_variables(each, note))
        count = settings.warm_workers if backends else 0
        self._warm_workers = WarmWorkers(count, imports, settings.worker_memory_mb, variables, note)
        self._taken: set[WorkerProcess] = set()

    async def start(self) -> None:
        """Start the warm workers."""
        await self._warm_workers.start()

    async def worker(self) -> WorkerProcess:
        """Return a warm worker, or a fresh one."""
        worker = await self._warm_workers.take()
        self._taken.add(worker)
        worker.exited.add_done_callback(lambda _exited: self._taken.discard(worker))
        return worker

    async def aclose(self) -> None:
        """End the warm workers."""
        await self._warm_workers.aclose()

    @property
    def warm_workers(self) -> int:
        """Return how many workers wait for a load."""
        return len(self._warm_workers)

    @property
    def pids(self) -> Sequence[int]:
        """Return the workers that were taken for a load and have not exited."""
        return [worker.pid for worker in self._taken]


class ThreadHosting(Hosting):
    """Engines in threads of this process."""

    @property
    def pids(self) -> Sequence[int]:
        """This process."""
        return (os.getpid(),)

    async def start(self) -> None:
        """Do nothing: there is nothing to start."""

    async def worker(self) -> WorkerThread:
        """Return a worker whose thread starts with the load."""
        return WorkerThread()

    async def aclose(self) -> None:
        """Do nothing: there is nothing to end."""


def warm_imports(backend: Backend, note: NoteFault = only_logged) -> list[WarmImport]:
    """Return what a backend wants imported ahead; nothing where it does not say that."""
    modules = _names(backend, "warm_imports", lambda: backend.warm_imports, note)
    return [(backend.name, module) for module in modules]


def worker_variables(backend: Backend, note: NoteFault = only_logged) -> Sequence[str]:
    """Return which variables a backend wants workers to have; none where it does not say that."""
    return _names(backend, "worker_variables", lambda: backend.worker_variables, note)


def _names(
    backend: Backend, what: str, look: Callable[[], object], note: NoteFault
) -> Sequence[str]:
    try:
        names = called(what, look)
    except Exception as exc:  # noqa: BLE001  (a plugin's fault must not stop the server)
        names = exc
    if isinstance(names, tuple | list) and all(isinstance(each, str) for each in names):
        return names
    message = f"backend {backend.name!r}: its {what} are no names: {shown(names)}"
    note("backend", backend.name, message)
    return ()


def hosting(
    settings: Settings, backends: tuple[Backend, ...], note: NoteFault = only_logged
) -> Hosting:
    """Return the hosting that the setting ``engine_host`` names."""
    if settings.engine_host == "thread":
        return ThreadHosting(settings)
    return ProcessHosting(settings, backends, note)
