# SPDX-License-Identifier: GPL-3.0-only
"""The models of this machine, behind the verbs that the outside may use."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import cast

from modeld.errors import (
    DrainingError,
)
from modeld.hosting.daemon_threads import in_daemon_thread
from modeld.hosting.host import Hosting, hosting
from modeld.hosting.tasks import TaskSet
from modeld.interfaces import ModelService
from modeld.machine.files import Machine
from modeld.plugins.host import PluginHost
from modeld.requests import (
    AnyUnaryRequest,
    GenerateRequest,
    KeepAliveSeconds,
)
from modeld.responses import AnyUnaryResponse, Chunk, Placed, TakePiece
from modeld.serving.entries_in_use import EntriesInUse
from modeld.serving.memory.budget_lock import BudgetLock
from modeld.serving.memory.machine_budget import MachineBudget
from modeld.serving.models.capabilities import described
from modeld.serving.models.file_watch import FileWatch, OnDisk
from modeld.serving.models.registry import Registry
from modeld.serving.models.source_watch import SourceWatch
from modeld.serving.pool import Pool
from modeld.serving.preload import Preload
from modeld.serving.request_serving import RequestServing
from modeld.serving.scheduling.scheduler import ModelScheduler
from modeld.serving.session_store import store_of
from modeld.serving.settings_check import SettingsCheck
from modeld.serving.state.model_entry import ModelEntry
from modeld.settings import Settings
from modeld.status import ModelPlan, Readiness, ServiceState, ServiceStatus
from modeld.values import ModelSpec, PluginStatus


class LocalService(ModelService):
    """Registry, pool and budget of one machine. It belongs to the event loop that starts it.

    ``machine`` is this one unless a test brings another.
    """

    def __init__(
        self, settings: Settings, plugins: PluginHost, machine: Machine | None = None
    ) -> None:
        self._settings = settings
        self._plugins = plugins
        self._state = ServiceState.STARTING
        self._start = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self._started_s = time.monotonic()
        machine = machine or Machine()
        self._budget = MachineBudget(settings, machine, plugins.backends.values())
        self._budget_lock = BudgetLock(settings, machine)
        self._has_entered = False
        self._scheduler = self._make_scheduler()
        self._sessions = store_of(settings)
        ledger = self._scheduler.ledger
        ledger.on_taken = lambda model: self._sessions.make_way(model, ledger.main.free_bytes)
        self._tasks = TaskSet()
        hosted = hosting(settings, tuple(plugins.backends.values()), plugins.faults.note)
        self._pool = self._make_pool(hosted)
        self._registry = self._make_registry()
        self._entries = EntriesInUse(
            settings, plugins, self._registry, self._pool, self._budget.ledger.capacity
        )
        self._check = SettingsCheck(plugins, self._registry, self._budget.ledger)
        self._requests = RequestServing(
            settings, plugins, self._entries, self._pool, self._check_running
        )
        self._preload = Preload(settings, self._entries, self._pool)
        self._registry.on_scanned = self._entries.drop_vanished
        self._files = FileWatch(self._loaded_files, self._registry.refresh)
        self._watch = SourceWatch(plugins.sources.values(), self._registry.ask, plugins.faults.note)
        self._memory = self._budget.watch(
            lambda: hosted.pids,
            self._scheduler.entries,
            self._pool.limit,
            lambda: self._sessions.memory_bytes,
        )

    def _make_scheduler(self) -> ModelScheduler:
        return ModelScheduler(
            self._budget.ledger,
            self._plugins.policy(),
            min_residence_s=self._settings.min_residence_s,
            max_overtake_s=self._settings.max_overtake_s,
        )

    def _make_pool(self, hosted: Hosting) -> Pool:
        return Pool(
            self._scheduler,
            hosted,
            load_timeout_s=self._settings.load_timeout_s,
            notify=self._plugins.notify,
            sessions=self._sessions,
            note=self._plugins.faults.note,
        )

    def _make_registry(self) -> Registry:
        return Registry(
            self._plugins.sources.values(),
            timeout_s=self._settings.source_timeout_s,
            described=self._described,
            note=self._plugins.faults.note,
            settings=self._settings,
        )

    async def start(self) -> None:
        """Find the models, check their options, start warm workers.

        Raises:
            ConfigurationError: an option in the settings is wrong for a model that was found.
            StartError: another process has the memory budget of this machine, or the folder for
                sessions cannot be used.
        """
        async with self._start:
            if self._state is not ServiceState.STARTING:
                return
            self._budget_lock.acquire()
            self._budget.tell()
            await in_daemon_thread(self._sessions.open)
            self._has_entered = await self._plugins.start(self, in_daemon_thread)
            await self._registry.refresh()
            await self._check.check(self._settings)
            await in_daemon_thread(partial(self._check.tell, self._settings))
            await self._pool.start()
            if not self._tasks.is_closed():
                self._tasks.spawn(self._files.run(), "modeld-files")
                self._tasks.spawn(self._watch.run(), "modeld-watch")
                self._tasks.spawn(self._memory.run(), "modeld-memory")
            if self._is_starting:  # it may have been closed meanwhile
                self._state = ServiceState.RUNNING
                loading = self._preload.run(self._registry.specs(), self._check_running)
                self._tasks.spawn(loading, "modeld-preload")

    @property
    def _is_starting(self) -> bool:
        return self._state is ServiceState.STARTING

    async def drain(self, timeout_s: float) -> None:
        """Refuse new work at once, let running requests finish, then end everything."""
        if self._state is not ServiceState.CLOSED:
            self._state = ServiceState.DRAINING
            ends_s = time.monotonic() + timeout_s
            await self._pool.finish(timeout_s)
            await self._requests.delivered(ends_s - time.monotonic())
        await self.aclose()

    async def aclose(self) -> None:
        """End everything. Requests that still run get an error as their last line."""
        self._state = ServiceState.CLOSED
        # One task closes, whoever calls and however often: a second _close would end engines that
        # the first one still waits for.
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)  # whoever is cancelled here, the rest is still closed

    async def _close(self) -> None:
        try:
            # Who waits for an entry or a scan is refused first: nobody comes to a closed pool.
            await self._tasks.aclose()
            self._entries.close()
            await self._registry.aclose()
            await self._pool.aclose()
            await self._sessions.aclose()
            if self._has_entered:  # else they are left by whoever has entered them
                await self._plugins.aclose()
        finally:
            self._budget.close()
            self._budget_lock.release()

    def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Wait for the model and a slot, then yield what the engine produces."""
        # Nothing is placed in it. A generator around the other would cost each token a call.
        return cast(
            AsyncGenerator[Chunk, None], self._requests.generated(request, _leave_all, tells=False)
        )

    def generate_placed(self, request: GenerateRequest) -> AsyncGenerator[Placed | Chunk, None]:
        """Do the same, and first tell how the request came to its slot."""
        return self._requests.generated(request, _leave_all, tells=True)

    def generate_to(
        self, request: GenerateRequest, take: TakePiece
    ) -> AsyncGenerator[Placed | Chunk, None]:
        """Do that, and offer each piece to ``take`` before it is yielded."""
        return self._requests.generated(request, take, tells=True)

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        """Wait for the model and a slot, then return the engine's response."""
        return (await self.submit_placed(request))[1]

    async def submit_placed(self, request: AnyUnaryRequest) -> tuple[Placed, AnyUnaryResponse]:
        """Do the same, and tell how the request came to its slot."""
        return await self._requests.submitted(request)

    async def models(self) -> Sequence[ModelSpec]:
        """Return all known models."""
        return self._registry.specs()

    async def known(self, model: str) -> ModelSpec:
        """Return the model of this name as it was found last."""
        return self._registry.known(model)

    async def default_model(self) -> str:
        """Return the one in the settings, or else the only usable one."""
        return self._entries.default()

    async def refresh(self) -> Sequence[ModelSpec]:
        """Look for models again, and return all."""
        await self._registry.refresh()
        return self._registry.specs()

    async def reconfigure(self, settings: Settings) -> None:
        """Go on with other settings; what runs goes on."""
        await self._check.check(settings)
        is_other_policy = settings.eviction_policy != self._settings.eviction_policy
        self._plugins.reconfigure(settings)
        self._settings = settings
        self._scheduler.reconfigure(
            # Made anew, it would forget what a policy has done wrong.
            self._plugins.policy() if is_other_policy else self._scheduler.policy,
            min_residence_s=settings.min_residence_s,
            max_overtake_s=settings.max_overtake_s,
        )
        self._requests.reconfigure(settings)
        await self._registry.reconfigure(settings)
        await self._entries.reconfigure(settings)
        await in_daemon_thread(partial(self._check.tell, settings))

    def _described(self, spec: ModelSpec) -> ModelSpec:
        return described(
            spec,
            settings=self._settings,
            plugins=self._plugins,
            most=self._budget.ledger.ever,
        )

    async def load(
        self, model: str, *, keep_alive_s: KeepAliveSeconds | None = None, fit: bool = True
    ) -> None:
        """Bring a model into memory, queued as any request is."""
        entry = await self._entry(model)
        async with self._pool.lease(
            entry,
            max_wait_s=self._settings.max_wait_s,
            needs_slot=False,
            keep_alive_s=keep_alive_s,
            takes_fitted=fit,
        ):
            pass

    async def unload(self, model: str) -> None:
        """Take a model out of memory once its requests are over."""
        entry = self._entries.known(model)
        if entry is None:
            self._registry.known(model)
        else:
            await self._pool.unload(entry)

    async def pin(self, model: str, *, pinned: bool) -> None:
        """Keep a model in memory whoever needs the bytes, or no longer. It loads nothing."""
        self._registry.known(model)
        entry = self._entries.known(model)
        self._entries.note_pin(self._entries.entry_id(model), pinned=pinned)
        if entry is None and not pinned:
            return
        self._pool.pin(entry or await self._entry(model), pinned=pinned)

    async def plan(self, model: str) -> ModelPlan:
        """Return what a request for a model would bring about now, and change nothing."""
        return await self._pool.plan(await self._entries.looked_up(model, self._check_running))

    async def status(self) -> ServiceStatus:
        """Return a snapshot of everything."""
        now_s = time.monotonic()
        entries = self._scheduler.entries.values()
        totals = self._scheduler.totals()
        return ServiceStatus(
            state=self._state,
            instances=tuple(entry.status(now_s) for entry in entries if entry.has_state),
            budget_bytes=self._budget.size_bytes,
            budget_origin=self._budget.said,
            held_bytes=int(self._scheduler.ledger.held.main),
            session_bytes=self._sessions.held_bytes,
            margin_bytes=self._settings.margin_bytes,
            devices=self._budget.statuses(),
            loads_total=totals.loads,
            evictions_total=self._pool.evictions_total,
            uptime_s=now_s - self._started_s,
            warm_workers=self._pool.warm_workers,
            error="; ".join([*self._registry.errors.values(), *self._preload.errors()]) or None,
            last_error=self._pool.last_error,
            prompt_tokens_total=totals.prompt_tokens,
            completion_tokens_total=totals.completion_tokens,
        )

    async def ready(self, model: str | None = None) -> Readiness:
        """Return whether a model (this one, if named) is in memory, or requests are taken."""
        if self._state is not ServiceState.RUNNING:
            return Readiness(ready=False, reason=str(self._state))
        if model is not None and (why := self._registry.why_unready(model)):
            return Readiness(ready=False, reason=why)
        if self._settings.readiness == "accepting":
            return Readiness(ready=True, reason="accepting")
        loaded = self._scheduler.ready()
        ready = bool(loaded) if model is None else self._entries.entry_id(model) in loaded
        waits = "source_late" if self._registry.late else "loading"
        return Readiness(ready=ready, reason="ready" if ready else waits)

    async def plugins(self) -> Sequence[PluginStatus]:
        """Return the installed plugins."""
        return self._plugins.statuses(self._registry.conflicts())

    def _check_running(self) -> None:
        if self._state is not ServiceState.RUNNING:
            raise DrainingError("the server takes no requests now", retry_after_s=1)

    async def _entry(self, model: str) -> ModelEntry:
        return (await self._entries.find(model, self._check_running)).entry

    def _loaded_files(self) -> list[OnDisk]:
        specs = self._scheduler.staying()
        return [(spec.stamp.device, spec.path) for spec in specs if spec.stamp is not None]


def _leave_all(_piece: object) -> bool:
    """Take no piece, so that all are yielded."""
    return False
