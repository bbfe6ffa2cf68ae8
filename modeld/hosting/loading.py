# SPDX-License-Identifier: GPL-3.0-only
"""What a backend gets to load a model with: a worker that opens an engine or calls a function."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

import msgspec

from modeld.errors import LoadFailedError, WorkerCrashedError, error_from_code
from modeld.hosting.errands import Errand
from modeld.hosting.frames import (
    Call,
    Load,
    Loaded,
    LoadFailed,
    Prepared,
    Progress,
    Report,
    Returned,
)
from modeld.hosting.hosted import HostedEngine
from modeld.hosting.link import Link
from modeld.interfaces import Engine, ReportProgress
from modeld.settings import Settings
from modeld.values import JsonValue, ModelSpec, Options

A = TypeVar("A", Loaded, Returned)


class LoadingHost:
    """The :class:`~modeld.interfaces.EngineHost` of one load. ``take_worker`` gives a new one."""

    def __init__(
        self,
        take_worker: Callable[[], Awaitable[Link]],
        settings: Settings,
        on_progress: ReportProgress,
    ) -> None:
        self._take_worker = take_worker
        self._settings = settings
        self._on_progress = on_progress

    def progress(self, fraction: float) -> None:
        """Pass on how much is done."""
        self._on_progress(min(max(fraction, 0.0), 1.0))

    async def start(self, engine: str, spec: ModelSpec, options: Options) -> Engine:
        """Load ``engine`` in a worker. See :class:`~modeld.interfaces.EngineHost`."""
        worker = await self._take_worker()
        load = Load(engine=engine, spec=spec, options=msgspec.to_builtins(options))
        try:
            loaded = await self._answer(worker, load, Loaded)
        except BaseException:
            await worker.discard()
            raise
        return HostedEngine(
            worker,
            slots=loaded.slots,
            held_bytes=loaded.held_bytes,
            stall_timeout_s=self._settings.stall_timeout_s,
            cancel_timeout_s=self._settings.cancel_timeout_s,
        )

    async def call(self, function: str, spec: ModelSpec, options: Options) -> JsonValue:
        """Call ``function`` in a worker. See :class:`~modeld.interfaces.EngineHost`."""
        worker = await self._take_worker()
        call = Call(function=function, spec=spec, options=msgspec.to_builtins(options))
        try:
            returned = await self._answer(worker, call, Returned)
        finally:
            await worker.discard()
        return cast("JsonValue", returned.result)

    async def _answer(self, worker: Link, errand: Errand, expected: type[A]) -> A:
        """Send a worker on its errand and wait for what ends it well."""
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()

        def fail(error: Exception) -> None:
            if not answer.done():
                answer.set_exception(error)

        def on_report(report: Report) -> None:
            match report:
                case Prepared():
                    pass
                case Progress(fraction=fraction):
                    self.progress(fraction)
                case LoadFailed(code=code, message=message):
                    fail(error_from_code(code, message))
                case _ if isinstance(report, expected) and not answer.done():
                    answer.set_result(report)
                case _:
                    found, due = type(report).__name__, expected.__name__
                    fail(LoadFailedError(f"the worker sent {found} where {due} was due"))

        def on_exited(exited: asyncio.Future[WorkerCrashedError]) -> None:
            tail = "; ".join(worker.log_tail()[-3:])
            fail(LoadFailedError(f"{exited.result().message}{f' ({tail})' if tail else ''}"))

        worker.label(errand.spec.id)
        worker.on_report = on_report
        worker.exited.add_done_callback(on_exited)
        try:
            worker.send(errand)
            return await answer
        finally:
            worker.on_report = lambda _report: None
            worker.exited.remove_done_callback(on_exited)
