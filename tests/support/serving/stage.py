# SPDX-License-Identifier: GPL-3.0-only
"""A pool on virtual time, with a backend that the test settles and clients that the test sends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from modeld import Engine, EvictionPolicy, MemoryEstimate, Settings
from modeld.errors import ModeldError
from modeld.events import Event
from modeld.hosting.loading import LoadingHost
from modeld.serving.pool import Pool
from modeld.serving.session_store import SessionStore
from modeld.serving.state.model_entry import ModelEntry
from modeld.testing.doubles.virtual_time import now_s, settle
from tests.support.serving.fakes import (
    MIB,
    FakeBackend,
    FakeEngine,
    NoHosting,
    a_scheduler,
    an_entry,
    bare,
)

E = TypeVar("E")


class Listening(NoHosting):
    """Passes on what loads report."""

    def engine_host(self, on_progress: Any) -> LoadingHost:
        return LoadingHost(self.worker, Settings(), on_progress)


class Client:
    """One lease in a task of its own."""

    def __init__(
        self,
        pool: Pool,
        entry: ModelEntry,
        max_wait_s: float,
        *,
        needs_slot: bool,
        takes_fitted: bool = True,
    ) -> None:
        self.takes_fitted = takes_fitted
        self.error: ModeldError | None = None
        self.entered = asyncio.Event()
        self.may_leave = asyncio.Event()
        self.engine: Engine | None = None
        self.entered_s = self.ended_s = 0.0
        self.sent_s = now_s()
        self.task = asyncio.create_task(self._run(pool, entry, max_wait_s, needs_slot=needs_slot))

    async def _run(
        self, pool: Pool, entry: ModelEntry, max_wait_s: float, *, needs_slot: bool
    ) -> str:
        try:
            async with pool.lease(
                entry,
                max_wait_s=max_wait_s,
                needs_slot=needs_slot,
                takes_fitted=self.takes_fitted,
            ) as lease:
                self.engine = bare(lease.engine)
                self.entered_s = now_s()
                self.entered.set()
                if needs_slot:
                    await self.may_leave.wait()
        except ModeldError as exc:
            self.error = exc
            return exc.code
        else:
            return "completed"
        finally:
            self.ended_s = now_s()

    @property
    def runs(self) -> bool:
        return self.entered.is_set() and not self.task.done()

    @property
    def waits(self) -> bool:
        return not self.entered.is_set() and not self.task.done()

    async def leave(self) -> None:
        """The work is done."""
        self.may_leave.set()
        await self.task
        await settle()

    async def give_up(self) -> None:
        """The client is gone."""
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.task.cancelled()
        await settle()

    async def outcome(self) -> str:
        """Return how it has ended: ``completed`` or an error's code."""
        return await self.task


class Stage:
    """Make it inside :func:`a_stage`, which closes the pool and checks what is left."""

    def __init__(
        self,
        *,
        budget_mb: int | None = None,
        min_residence_s: float = 0.0,
        max_overtake_s: float = 10.0,
        load_timeout_s: float = 60.0,
        policy: EvictionPolicy | None = None,
        backend: FakeBackend | None = None,
        sessions: SessionStore | None = None,
    ) -> None:
        self.backend = backend or FakeBackend()
        self.events: list[Event] = []
        self.clients: list[Client] = []
        self.scheduler = a_scheduler(
            budget_mb=budget_mb,
            min_residence_s=min_residence_s,
            max_overtake_s=max_overtake_s,
            policy=policy,
        )
        self.pool = Pool(
            self.scheduler,
            Listening(),
            load_timeout_s=load_timeout_s,
            notify=self.events.append,
            sessions=sessions,
            clock=now_s,
            wall_clock=lambda: now_s() + 1e6,
        )

    def entry(self, model: str, size_mb: int = 100, **choices: Any) -> ModelEntry:
        entry = an_entry(self.backend, model, size_mb=size_mb, **choices)
        self.scheduler.entries[model] = entry
        return entry

    async def client(
        self,
        entry: ModelEntry,
        *,
        max_wait_s: float = 1e6,
        needs_slot: bool = True,
        takes_fitted: bool = True,
    ) -> Client:
        """Send a client, and return when it has come as far as it can."""
        client = Client(
            self.pool, entry, max_wait_s, needs_slot=needs_slot, takes_fitted=takes_fitted
        )
        self.clients.append(client)
        await settle()
        return client

    async def end_load(self, model: str, *, held_mb: int = 0, slots: int = 1) -> FakeEngine:
        engine = FakeEngine(slots=slots, held_bytes=held_mb * MIB)
        self.backend.loads[model].set_result(engine)
        await settle()
        return engine

    async def fail_load(self, model: str, error: Exception) -> None:
        self.backend.loads[model].set_exception(error)
        await settle()

    async def end_measurement(self, model: str, result: int | Exception | None) -> None:
        """``result`` in MiB, or what it fails with."""
        future = self.backend.measurements[model]
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result and MemoryEstimate(weights_bytes=result * MIB))
        await settle()

    async def resident(
        self, model: str, size_mb: int = 100, **choices: Any
    ) -> tuple[ModelEntry, FakeEngine]:
        """Return a model that is loaded and idle."""
        entry = self.entry(model, size_mb, **choices)
        load = await self.client(entry, needs_slot=False)
        engine = await self.end_load(model)
        assert await load.outcome() == "completed"
        return entry, engine

    async def busy(self, model: str, size_mb: int = 100) -> tuple[ModelEntry, FakeEngine, Client]:
        """Return a model that is loaded and works for a client."""
        entry, engine = await self.resident(model, size_mb)
        client = await self.client(entry)
        assert client.runs
        return entry, engine, client

    def seen(self, kind: Callable[..., E]) -> list[E]:
        """Return all events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]  # type: ignore[arg-type]

    async def close(self) -> None:
        for client in self.clients:
            client.may_leave.set()
        await self.pool.aclose()
        if self.clients:
            await asyncio.wait([client.task for client in self.clients])
        self.scheduler.check()
        assert self.scheduler.ledger.held_bytes == 0, "the ledger is not empty after close"
        assert all(entry.queue.is_empty for entry in self.scheduler.entries.values())
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, f"tasks are left: {others}"


@asynccontextmanager
async def a_stage(**settings: Any) -> AsyncIterator[Stage]:
    """Yield a stage that is closed at the end, with nothing left of it."""
    stage = Stage(**settings)
    yield stage
    await stage.close()
