# SPDX-License-Identifier: GPL-3.0-only
"""The host that backends load models with: a worker opens an engine or calls a function."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

import msgspec

from modeld.errors import LoadFailedError, ModeldError, WorkerCrashedError, error_from_code
from modeld.hosting import last_words
from modeld.hosting.channel.frames import (
    Call,
    Load,
    Loaded,
    LoadFailed,
    Prepared,
    Progress,
    Report,
    Returned,
    Sessions,
)
from modeld.hosting.channel.link import Link
from modeld.hosting.hosted import HostedEngine
from modeld.hosting.worker.errands import Errand
from modeld.interfaces import Engine, ReportProgress
from modeld.settings import Settings
from modeld.values import JsonValue, ModelSpec, Options

A = TypeVar("A", Loaded, Returned)


def _keep_last_words(model: str, worker: Link, error: BaseException) -> None:
    """Log how a worker has ended that should not have, and add it to the error for ``/status``.

    No client gets it: paths of this machine may be in it.
    """
    tail = worker.log_tail()
    if isinstance(error, ModeldError):
        error.log_tail = tail
    has_died = worker.exited.done() and worker.exited.result().cause != "closed"
    if has_died or last_words.TRACEBACK in tail:
        last_words.tell(model, None, tail)


class LoadingHost:
    """The :class:`~modeld.interfaces.EngineHost` of one load. ``take_worker`` gives a new one.

    It knows every worker that it has taken, so that none outlives the load whose it was.
    ``sessions`` are for the first engine that is started.
    """

    def __init__(
        self,
        take_worker: Callable[[], Awaitable[Link]],
        settings: Settings,
        on_progress: ReportProgress,
    ) -> None:
        self._take_worker = take_worker
        self.settings = settings
        self._on_progress = on_progress
        self._workers: set[Link] = set()
        self._engines: dict[HostedEngine, Link] = {}
        self._is_closed = False
        self.sessions: Sessions | None = None

    def progress(self, fraction: float) -> None:
        """Pass on how much is done."""
        # Written so that what is no number counts as nothing: it could not be told to anybody.
        self._on_progress(min(fraction, 1.0) if fraction > 0.0 else 0.0)

    async def start(self, engine: str, spec: ModelSpec, options: Options) -> Engine:
        """Load ``engine`` in a worker. See :class:`~modeld.interfaces.EngineHost`."""
        sessions, self.sessions = self.sessions, None  # two engines would write over each other
        plain = msgspec.to_builtins(options)
        load = Load(engine=engine, spec=spec, options=plain, sessions=sessions)
        worker = await self._worker()
        try:
            loaded = await self._report_of(worker, load, Loaded)
            hosted = HostedEngine(
                worker,
                slots=loaded.slots,
                held_bytes=loaded.held_bytes,
                held_on_gpus=loaded.held_on_gpus,
                stall_timeout_s=self.settings.stall_timeout_s,
                cancel_timeout_s=self.settings.cancel_timeout_s,
            )
        except BaseException as exc:
            await self._discard(worker)
            _keep_last_words(spec.id, worker, exc)
            raise
        self._engines[hosted] = worker
        return hosted

    async def call(self, function: str, spec: ModelSpec, options: Options) -> JsonValue:
        """Call ``function`` in a worker. See :class:`~modeld.interfaces.EngineHost`."""
        call = Call(function=function, spec=spec, options=msgspec.to_builtins(options))
        worker = await self._worker()
        try:
            returned = await self._report_of(worker, call, Returned)
        except BaseException as exc:
            await self._discard(worker)
            _keep_last_words(spec.id, worker, exc)
            raise
        await self._discard(worker)
        return cast("JsonValue", returned.result)

    def has_started(self, engine: Engine) -> bool:
        """Return whether the engine is one of this host's."""
        return engine in self._engines

    async def aclose(self, *, keep: HostedEngine | None = None) -> None:
        """Close all engines but ``keep`` and end all other workers; none is started any more."""
        self._is_closed = True
        engines = [engine for engine in self._engines if engine is not keep]
        hosted = set(self._engines.values())
        loading = [worker for worker in self._workers if worker not in hosted]
        self._engines.clear()
        self._workers.clear()
        if engines or loading:
            await asyncio.gather(
                *(engine.aclose() for engine in engines), *(worker.discard() for worker in loading)
            )

    async def _worker(self) -> Link:
        """Return a worker that is this host's from now on."""
        worker = await self._take_worker()
        if self._is_closed:  # while it was taken; nobody would ever end this one
            await worker.discard()
            raise LoadFailedError("the load that asks for a worker is over")
        self._workers.add(worker)
        return worker

    async def _discard(self, worker: Link) -> None:
        self._workers.discard(worker)
        await worker.discard()

    async def _report_of(self, worker: Link, errand: Errand, expected: type[A]) -> A:
        """Send a worker on its errand and return the report that ends it well."""
        ended: asyncio.Future[A] = asyncio.get_running_loop().create_future()

        def fail(error: Exception) -> None:
            if not ended.done():
                ended.set_exception(error)

        def on_report(report: Report) -> None:
            match report:
                case Prepared():
                    worker.on_prepared(report)
                case Progress(fraction=fraction):
                    self.progress(fraction)
                case LoadFailed(code=code, message=message, own=own):
                    fail(error_from_code(code, message, own=own))
                case _ if isinstance(report, expected) and not ended.done():
                    ended.set_result(report)
                case _:
                    found, due = type(report).__name__, expected.__name__
                    fail(LoadFailedError(f"the worker sent {found} where {due} was due"))

        def on_exited(exited: asyncio.Future[WorkerCrashedError]) -> None:
            fail(LoadFailedError(exited.result().message))

        worker.label(errand.spec.id)
        worker.on_report = on_report
        worker.exited.add_done_callback(on_exited)
        try:
            worker.send(errand)
            return await ended
        finally:
            worker.on_report = lambda _report: None
            worker.exited.remove_done_callback(on_exited)
