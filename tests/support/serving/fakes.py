# SPDX-License-Identifier: GPL-3.0-only
"""A backend whose every step the test decides, for tests of the pool and its rules."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence

from modeld import (
    Backend,
    Candidate,
    Chunk,
    Done,
    Engine,
    EngineHost,
    EvictionPolicy,
    FinishReason,
    GenerateRequest,
    MemoryEstimate,
    ModelSpec,
    Options,
    Settings,
    Usage,
)
from modeld.capabilities import Capability
from modeld.device_bytes import DeviceBytes
from modeld.errors import WorkerCrashedError
from modeld.hosting.host import Hosting
from modeld.hosting.loading import LoadingHost
from modeld.hosting.worker.thread import WorkerThread
from modeld.serving.contained_engine import ContainedEngine
from modeld.serving.models.fit_trials import FitTrial, trials_of
from modeld.serving.scheduling.scheduler import ModelScheduler
from modeld.serving.state.budget import DeviceLimit, Ledger
from modeld.serving.state.memory_need import MemoryNeed
from modeld.serving.state.model_entry import ModelEntry
from modeld.values import FitStep

MIB = 1 << 20


class Clock:
    """A clock that moves when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class FakeEngine(Engine):
    """Ready at once; dies and closes when told."""

    def __init__(
        self, *, slots: int = 1, held_bytes: int = 0, held_on_gpus: Mapping[str, int] = {}
    ) -> None:
        self.slots = slots
        self.held_bytes = held_bytes
        self.held_on_gpus = held_on_gpus
        self.closed = False
        self._failure: WorkerCrashedError | None = None
        self._dead = asyncio.Event()
        self.may_close = asyncio.Event()
        self.may_close.set()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        yield Done(finish_reason=FinishReason.STOP, usage=Usage())

    def die(self) -> None:
        self._failure = WorkerCrashedError("the test killed it")
        self._dead.set()

    def failure(self) -> WorkerCrashedError | None:
        return self._failure

    async def wait_exited(self) -> WorkerCrashedError:
        await self._dead.wait()
        assert self._failure is not None
        return self._failure

    async def aclose(self) -> None:
        await self.may_close.wait()
        self.closed = True


def bare(engine: Engine) -> Engine:
    """Return the backend's own engine behind what a lease gives."""
    return engine._engine if isinstance(engine, ContainedEngine) else engine


class FakeBackend(Backend):
    """Each load and measurement waits for the test to settle it with a result or an error."""

    name = "fake"

    def __init__(self) -> None:
        self.loads: dict[str, asyncio.Future[Engine]] = {}
        self.started: list[str] = []
        self.measurements: dict[str, asyncio.Future[MemoryEstimate | None]] = {}
        self.measured: list[str] = []
        self.measured_with: list[Options] = []
        self.loaded_with: list[Options] = []
        self.steps: Sequence[FitStep] = ()

    def fit_steps(
        self, spec: ModelSpec, options: Options, fixed: Collection[str], most_bytes: int
    ) -> Sequence[FitStep]:
        return self.steps

    def capabilities(self, spec: ModelSpec, options: Options) -> frozenset[Capability]:
        return frozenset(Capability)

    def can_load(self, spec: ModelSpec) -> bool:
        return True

    async def measure(
        self, spec: ModelSpec, options: Options, host: EngineHost
    ) -> MemoryEstimate | None:
        assert spec.id not in self.measurements, f"{spec.id} is measured twice at once"
        self.measured.append(spec.id)
        self.measured_with.append(options)
        future = self.measurements[spec.id] = asyncio.get_running_loop().create_future()
        try:
            return await future
        finally:
            del self.measurements[spec.id]

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        assert spec.id not in self.loads, f"a second load of {spec.id} at once"
        self.started.append(spec.id)
        self.loaded_with.append(options)
        load = self.loads[spec.id] = asyncio.get_running_loop().create_future()
        try:
            return await load
        except asyncio.CancelledError:
            if load.done() and not load.cancelled() and load.exception() is None:
                await load.result().aclose()
            raise
        finally:
            del self.loads[spec.id]


class NoHosting(Hosting):
    """For backends that need no worker."""

    def __init__(self) -> None:
        pass

    async def start(self) -> None:
        pass

    async def worker(self) -> WorkerThread:
        raise AssertionError("no worker is needed")

    async def aclose(self) -> None:
        pass

    def engine_host(self, on_progress: object) -> LoadingHost:
        return LoadingHost(self.worker, Settings(), lambda _fraction: None)


class Oldest(EvictionPolicy):
    """Least recently used first, as many as are needed."""

    name = "oldest"

    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        chosen: list[Candidate] = []
        for candidate in sorted(candidates, key=lambda c: c.last_used_s):
            if sum(c.held_bytes for c in chosen) >= needed_bytes:
                break
            chosen.append(candidate)
        return chosen if sum(c.held_bytes for c in chosen) >= needed_bytes else []


def mebibytes(main_mb: int, on_gpus: Mapping[str, int]) -> DeviceBytes:
    return DeviceBytes(main_mb * MIB, {name: size * MIB for name, size in on_gpus.items()})


def an_entry(
    backend: Backend,
    model: str,
    *,
    size_mb: int = 100,
    on_gpus: Mapping[str, int] = {},
    slots: int = 1,
    depth: int = 32,
    measurable: bool = False,
    max_idle_s: float = math.inf,
    most_mb: int | None = None,
    priority: int = 0,
) -> ModelEntry:
    """Return an entry; one that may be made to fit where ``most_mb`` is what it has to fit into."""
    spec = ModelSpec(id=model, name=model, path=f"/models/{model}")
    options = Options(slots=slots, priority=priority)
    trials: tuple[FitTrial, ...] = ()
    if most_mb is not None:
        trials = trials_of(backend, spec, options, Settings(), most_mb * MIB)
    need = MemoryNeed(mebibytes(size_mb, on_gpus), is_measurable=measurable, trials=trials)
    return ModelEntry(spec, backend, options, need, max_queue_depth=depth, max_idle_s=max_idle_s)


def a_gpu(device: str, limit_mb: int, *, moves: bool = False) -> DeviceLimit:
    limit_bytes = limit_mb * MIB
    return DeviceLimit(limit_bytes, device=device, most_bytes=limit_bytes if moves else None)


def a_scheduler(
    *,
    budget_mb: int | None = None,
    moves: bool = False,
    min_residence_s: float = 0.0,
    max_overtake_s: float = 10.0,
    policy: EvictionPolicy | None = None,
    gpus_mb: Mapping[str, int] = {},
) -> ModelScheduler:
    """Return a scheduler whose budget, if it ``moves``, is what it may be at most."""
    limit_bytes = budget_mb * MIB if budget_mb is not None else None
    return ModelScheduler(
        Ledger(
            DeviceLimit(limit_bytes, most_bytes=limit_bytes if moves else None),
            {name: a_gpu(name, size_mb, moves=moves) for name, size_mb in gpus_mb.items()},
        ),
        policy or Oldest(),
        min_residence_s=min_residence_s,
        max_overtake_s=max_overtake_s,
    )
