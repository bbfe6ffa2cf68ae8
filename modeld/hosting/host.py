# SPDX-License-Identifier: GPL-3.0-only
"""What a backend gets to start its engine with: a worker, a load, a limit on silence."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from modeld.errors import LoadFailedError, WorkerCrashedError, error_from_code
from modeld.hosting.frames import Load, Loaded, LoadFailed, Prepared, Progress, Report
from modeld.hosting.hosted import HostedEngine
from modeld.hosting.process import WorkerProcess
from modeld.hosting.spares import SparePool
from modeld.hosting.thread import WorkerThread
from modeld.interfaces import Backend, Engine
from modeld.settings import Settings
from modeld.values import ModelSpec, Options

OnProgress: TypeAlias = Callable[[float], None]
Worker: TypeAlias = WorkerProcess | WorkerThread


class Hosting(ABC):
    """Where engines run; one for the whole server. It makes an engine host for each load."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    async def start(self) -> None:
        """Get ready for the first load."""

    @abstractmethod
    async def worker(self) -> Worker:
        """A worker with no model in it."""

    @abstractmethod
    async def aclose(self) -> None:
        """End what is not in use. Engines are closed by those who hold them."""

    @property
    def spares(self) -> int:
        """How many workers wait for a load."""
        return 0

    def engine_host(self, on_progress: OnProgress) -> LoadingHost:
        """The engine host for one load."""
        return LoadingHost(self, on_progress)


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


class LoadingHost:
    """The :class:`~modeld.interfaces.EngineHost` of one load."""

    def __init__(self, owner: Hosting, on_progress: OnProgress) -> None:
        self._owner = owner
        self._on_progress = on_progress

    def progress(self, fraction: float) -> None:
        """Pass on how much is done."""
        self._on_progress(min(max(fraction, 0.0), 1.0))

    async def start(self, engine: str, spec: ModelSpec, options: Options) -> Engine:
        """Load ``engine`` in a worker. See :class:`~modeld.interfaces.EngineHost`."""
        worker = await self._owner.worker()
        worker.label(spec.id)
        load = Load(engine=engine, spec=spec, options=msgspec.to_builtins(options))
        try:
            loaded = await self._loaded(worker, load)
        except BaseException:
            await worker.discard()
            raise
        settings = self._owner.settings
        return HostedEngine(
            worker,
            slots=loaded.slots,
            held_bytes=loaded.held_bytes,
            stall_timeout_s=settings.stall_timeout_s,
            cancel_timeout_s=settings.cancel_timeout_s,
        )

    async def _loaded(self, worker: Worker, load: Load) -> Loaded:
        answer: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()

        def fail(error: Exception) -> None:
            if not answer.done():
                answer.set_exception(error)

        def on_report(report: Report) -> None:
            match report:
                case Prepared():
                    pass
                case Progress(fraction=fraction):
                    self.progress(fraction)
                case Loaded() if not answer.done():
                    answer.set_result(report)
                case LoadFailed(code=code, message=message):
                    fail(error_from_code(code, message))
                case _:
                    fail(LoadFailedError(f"the worker sent {type(report).__name__} during a load"))

        def on_exited(exited: asyncio.Future[WorkerCrashedError]) -> None:
            tail = "; ".join(worker.log_tail()[-3:])
            fail(LoadFailedError(f"{exited.result().message}{f' ({tail})' if tail else ''}"))

        worker.on_report = on_report
        worker.exited.add_done_callback(on_exited)
        try:
            worker.send(load)
            return await answer
        finally:
            worker.on_report = lambda _report: None
            worker.exited.remove_done_callback(on_exited)
