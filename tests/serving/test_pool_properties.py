# SPDX-License-Identifier: GPL-3.0-only
"""Rule 15: whatever happens in whatever order, memory is never overdrawn and nothing is lost."""

import asyncio
import itertools
import math
import random
from collections.abc import Callable, Sequence
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modeld import MemoryEstimate
from modeld.device_bytes import NOTHING
from modeld.errors import LoadFailedError, ModeldError, ModelNotFoundError
from modeld.events import Event, ModelLoaded
from modeld.requests import KeepAliveSeconds
from modeld.serving.pool import Pool
from modeld.serving.scheduling import absent
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Closing, Leaving, Ready, public_state
from modeld.serving.state.residence import Residence
from modeld.status import MAIN, EvictionReason
from modeld.values import FileStamp
from tests.support.serving.fakes import (
    MIB,
    Clock,
    FakeBackend,
    FakeEngine,
    NoHosting,
    a_scheduler,
    an_entry,
    bare,
)

pytestmark = pytest.mark.usefixtures("unmeasured")

MODELS = {"a": 100, "b": 150, "c": 60, "d": 400}
BUDGET_MB = 260
GPUS_MB = {"gpu0": 130, "gpu1": 90}
ON_GPUS = {
    "a": {"gpu0": 70},
    "b": {"gpu0": 60, "gpu1": 40},
    "c": {"gpu1": 60},
    "d": {"gpu1": 100, "gpu0": 20},
}
"""What models have on GPUs, in MiB, beside what they have in main memory, where there are some."""
MAX_IDLE_S = {"a": 3.0, "c": 10.0}
"""The other models stay where no request says otherwise."""

KEEP_ALIVES: tuple[KeepAliveSeconds | None, ...] = (None, None, None, 0, 1.0, "forever")
QUIET = 30
"""Steps of the event loop after which nothing moves by itself."""


class World:
    """A pool, its clients, and what a random walk may do to them."""

    def __init__(self, seed: int, *, may_forget: bool = False, has_gpus: bool = False) -> None:
        self.may_forget = may_forget
        self.gpus_mb = GPUS_MB if has_gpus else {}
        self.loads = 0
        self.random = random.Random(seed)
        self.clock = Clock()
        self.backend = FakeBackend()
        self.scheduler = a_scheduler(
            budget_mb=BUDGET_MB,
            moves=True,
            min_residence_s=1.0,
            max_overtake_s=5.0,
            gpus_mb=self.gpus_mb,
        )
        self.pool = Pool(
            self.scheduler,
            NoHosting(),
            load_timeout_s=60,
            notify=self.note,
            clock=self.clock,
        )
        self.clients: dict[asyncio.Task[str], asyncio.Event] = {}
        self.engines: list[FakeEngine] = []
        self.outcomes: list[str] = []
        self.broken: list[BaseException] = []
        self.sent = 0
        self.closing = False
        self.stays: dict[ModelEntry, Instance] = {}
        self.stamps = itertools.count(1)
        self.leaving: dict[Instance, EvictionReason | None] = {}
        self.taken_back = 0
        self.expired = 0
        self.relieved = 0
        self.held = NOTHING

    def note(self, event: Event) -> None:
        self.loads += isinstance(event, ModelLoaded)

    def entry(self, model: str) -> ModelEntry:
        """Do what the service does: make an entry anew that was forgotten."""
        known = self.scheduler.entries.get(model)
        if known is None:
            size_mb, measurable = MODELS[model], model in "bcd"
            known = self.scheduler.entries[model] = an_entry(
                self.backend,
                model,
                size_mb=size_mb,
                on_gpus=self.on_gpus_of(model),
                slots=2,
                depth=2,
                measurable=measurable,
                max_idle_s=MAX_IDLE_S.get(model, math.inf),
            )
        return known

    def on_gpus_of(self, model: str) -> dict[str, int]:
        """Return what a model has on GPUs, in MiB."""
        return ON_GPUS[model] if self.gpus_mb else {}

    def somewhere(self) -> dict[str, int]:
        """Return what has turned out to be on GPUs, in bytes."""
        return {name: self.random.choice([0, 20, 80]) * MIB for name in self.gpus_mb}

    @property
    def entries(self) -> list[ModelEntry]:
        return [self.entry(model) for model in MODELS]

    def instances(self) -> list[tuple[ModelEntry, Instance]]:
        return [(entry, instance) for entry in self.entries for instance in entry.instances]

    async def client(self, model: str, finish: asyncio.Event, *, needs_slot: bool) -> str:
        entry = self.entry(model)
        keep_alive_s = self.random.choice(KEEP_ALIVES)
        try:
            async with self.pool.lease(
                entry, max_wait_s=60, needs_slot=needs_slot, keep_alive_s=keep_alive_s
            ) as lease:
                engine = bare(lease.engine)
                assert isinstance(engine, FakeEngine)
                assert not engine.closed, "a lease of an engine that is closed"
                if needs_slot:
                    await finish.wait()
                    gone = engine.closed and not engine.failure() and not self.closing
                    assert not gone, "evicted under a lease"
                return "completed"
        except ModeldError as exc:
            return exc.code

    def start_client(self, *, needs_slot: bool = True) -> None:
        finish = asyncio.Event()
        model = self.random.choice(list(MODELS))
        task = asyncio.get_running_loop().create_task(
            self.client(model, finish, needs_slot=needs_slot)
        )
        self.sent += 1
        self.clients[task] = finish
        task.add_done_callback(self.client_done)

    def client_done(self, task: "asyncio.Task[str]") -> None:
        del self.clients[task]
        error = None if task.cancelled() else task.exception()
        self.broken += [error] if error is not None else []
        self.outcomes.append("left" if task.cancelled() or error else task.result())

    def pick_client(self) -> "asyncio.Task[str] | None":
        return self.random.choice(list(self.clients)) if self.clients else None

    def settle_load(self, held_mb: int = 0) -> None:
        waiting = [load for load in self.backend.loads.values() if not load.done()]
        if waiting:
            on_gpus = self.somewhere()
            held_bytes = held_mb * MIB + sum(on_gpus.values())
            engine = FakeEngine(slots=2, held_bytes=held_bytes, held_on_gpus=on_gpus)
            self.engines.append(engine)
            self.random.choice(waiting).set_result(engine)

    def finish(self) -> None:
        if client := self.pick_client():
            self.clients[client].set()

    def cancel(self) -> None:
        if client := self.pick_client():
            client.cancel()

    def fail_load(self) -> None:
        waiting = [load for load in self.backend.loads.values() if not load.done()]
        if waiting:
            self.random.choice(waiting).set_exception(LoadFailedError("the test says so"))

    def settle_measurement(self) -> None:
        waiting = [each for each in self.backend.measurements.values() if not each.done()]
        if waiting:
            size_mb = self.random.choice([None, 50, 140, 300])
            self.random.choice(waiting).set_result(
                size_mb and MemoryEstimate(weights_bytes=size_mb * MIB, on_gpus=self.split(size_mb))
            )

    def split(self, size_mb: int) -> dict[str, int]:
        """Return how much of so many MiB is on which GPU, in bytes."""
        return {name: self.random.choice([0, size_mb // 3]) * MIB for name in self.gpus_mb}

    def kill_engine(self) -> None:
        alive = [engine for engine in self.engines if not engine.closed]
        if alive:
            self.random.choice(alive).die()

    def unload(self) -> None:
        entry = self.random.choice(self.entries)
        self.pool._tasks.spawn(self.pool.unload(entry), "unload")

    def toggle_pin(self) -> None:
        entry = self.random.choice(self.entries)
        self.pool.pin(entry, pinned=not entry.pinned)
        self.stays.pop(entry, None)

    def check_totals(self) -> None:
        assert self.scheduler.totals().loads == self.loads

    def check_pins(self) -> None:
        for instance in self.stays.values():
            phase = instance.phase
            is_evicted = isinstance(phase, Leaving) and phase.reason in {
                EvictionReason.MAKE_ROOM,
                EvictionReason.IDLE,
                EvictionReason.MEMORY_PRESSURE,
            }
            assert not is_evicted, "a pinned model went"
        for entry in self.entries:
            for instance in entry.instances:
                if entry.pinned and isinstance(instance.phase, Ready):
                    self.stays[entry] = instance

    def check_drains(self) -> None:
        """Rule 3: closing is one-way, and only what a load has claimed is ever taken back."""
        for _, instance in self.instances():
            phase = instance.phase
            if isinstance(phase, Leaving):
                closing = self.leaving.get(instance) is None and instance in self.leaving
                is_closing = isinstance(phase, Closing)
                assert not closing or is_closing, "closing was taken back"
                is_new = instance not in self.leaving
                self.relieved += is_new and phase.reason is EvictionReason.MEMORY_PRESSURE
                self.leaving[instance] = None if is_closing else phase.reason
            elif instance in self.leaving:
                reason = self.leaving.pop(instance)
                assert reason is EvictionReason.MAKE_ROOM, f"taken back from {reason}"
                self.taken_back += 1

    def check_expiries(self) -> None:
        """Nobody leaves for being idle before the time is over."""
        for entry, instance in self.instances():
            phase = instance.phase
            if isinstance(phase, Closing) and phase.reason is EvictionReason.IDLE:
                assert self.is_over(entry, phase.residence), "it left too early"
                self.expired += instance not in self.leaving

    def is_over(self, entry: ModelEntry, residence: Residence) -> bool:
        """Return whether nobody has used it for as long as it may be unused."""
        limit_s = residence.keep_alive_s
        if limit_s is None:
            limit_s = entry.max_idle_s
        return limit_s != "forever" and self.clock() - residence.last_used_s >= limit_s

    def vanish(self) -> None:
        """What the service does when no source has the model any more. It may come back."""
        entry = self.random.choice(self.entries)
        self.stays.pop(entry, None)
        self.pool.vanish(entry, ModelNotFoundError("it is gone"))
        assert not entry.queue.waiting
        assert all(isinstance(each.phase, Leaving) for each in entry.instances)

    def change_file(self) -> None:
        """What the service does when it sees that a file has changed."""
        entry = self.random.choice([entry for entry in self.entries if entry.spec.id in "ad"])
        pinned, tally = entry.pinned, entry.tally
        size_mb = self.random.choice([50, 100, 200, 400])
        fresh = an_entry(
            self.backend,
            entry.spec.id,
            size_mb=size_mb,
            on_gpus=self.on_gpus_of(entry.spec.id),
            slots=2,
            depth=2,
            max_idle_s=entry.max_idle_s,
        )
        stamp = FileStamp(device=1, inode=1, size_bytes=1, mtime_ns=next(self.stamps))
        fresh.spec = replace(fresh.spec, stamp=stamp)
        entry.renew(fresh)
        self.pool.drain(entry, EvictionReason.FILE_CHANGED)
        assert (entry.pinned, entry.tally) == (pinned, tally)

    def move_limit(self) -> None:
        """What the watch does when other programs take memory, or give it back."""
        self.held = self.scheduler.ledger.held  # under the limits as they were
        limit_mb = self.random.choice([0, 60, 110, 160, 210, BUDGET_MB, BUDGET_MB])
        device = self.random.choice([MAIN, *self.gpus_mb])
        limit_mb = min(limit_mb, self.gpus_mb.get(device, BUDGET_MB))
        self.pool.limit(limit_mb * MIB, "others use the rest", device)

    def check_limit(self) -> None:
        """Nothing is reserved beyond any limit, wherever it is; what was held before may stay."""
        ledger = self.scheduler.ledger
        for limit in ledger.limits:
            before = self.held.on(limit.device)
            assert limit.held_bytes == ledger.held.on(limit.device)
            assert limit.held_bytes <= max(before, limit.limit_bytes or 0), "overdrawn"
        self.held = ledger.held

    def toggle_closing(self) -> None:
        for engine in self.engines:
            self.random.choice([engine.may_close.set, engine.may_close.clear])()

    def move_clock(self) -> None:
        self.clock.now_s += self.random.choice([0.5, 2.0, 7.0])
        self.pool._decide()

    async def settle(self) -> None:
        steps = self.random.choice([0, 1, 3, QUIET])
        for _ in range(steps):
            await asyncio.sleep(0)
            self.scheduler.check()
            self.check_pins()
            self.check_expiries()
            self.check_drains()
            self.check_limit()
            self.check_totals()
        if steps == QUIET:
            self.check_nothing_is_left_to_decide()

    def check_nothing_is_left_to_decide(self) -> None:
        """Whatever has happened, the pool has asked what follows from it."""
        before = self.positions()
        decision = self.scheduler.decide(self.clock())
        undone = [decision.deaths, decision.measurements, decision.loads, decision.closes]
        assert not any(undone), f"not asked for: {undone}"
        assert self.positions() == before, "requests or models move when asked again"
        for entry, instance in self.instances():
            if entry.is_idle and not entry.pinned and isinstance(instance.phase, Ready):
                assert not self.is_over(entry, instance.phase.residence), "its time is over"

    def positions(self) -> list[tuple[object, ...]]:
        """Who waits and who runs where, and what is in memory."""
        return [
            (
                list(entry.queue.waiting),
                set(entry.queue.running),
                [public_state(instance.phase) for instance in entry.instances],
                set(entry.victims),
            )
            for entry in self.entries
        ]

    async def close(self) -> None:
        self.closing = True
        for engine in self.engines:
            engine.may_close.set()
        await self.pool.aclose()
        for finish in self.clients.values():
            finish.set()
        if self.clients:
            await asyncio.wait(list(self.clients))
        self.scheduler.check()
        assert not self.broken, self.broken
        assert not self.scheduler.ledger.held, "the ledger is not empty after close"
        assert len(self.outcomes) == self.sent, "a request is unaccounted for"
        assert all(engine.closed for engine in self.engines), "an engine was never closed"
        assert all(entry.queue.is_empty for entry in self.entries)
        measured = self.backend.measured
        twice = len(measured) != len(set(measured))
        assert self.may_forget or not twice, "a model was measured twice"


OPERATIONS: list[Callable[[World], None]] = [
    World.start_client,
    World.start_client,
    World.start_client,
    lambda world: world.start_client(needs_slot=False),
    World.finish,
    World.finish,
    World.cancel,
    World.settle_load,
    World.settle_load,
    lambda world: world.settle_load(held_mb=world.random.choice([120, 200, 300])),
    World.settle_measurement,
    World.settle_measurement,
    World.fail_load,
    World.kill_engine,
    World.unload,
    World.toggle_pin,
    World.vanish,
    World.change_file,
    World.toggle_closing,
    World.move_limit,
    World.move_clock,
]


CONTENTION: list[Callable[[World], None]] = [
    *[World.start_client] * 6,
    *[World.finish] * 2,
    *[World.cancel] * 4,
    *[World.settle_load] * 3,
    *[World.settle_measurement] * 2,
    *[World.move_clock] * 3,
    World.move_limit,
    World.unload,
    World.toggle_closing,
]
"""Many who want memory and few accidents, so that models are claimed and given back."""


async def walk(
    operations: list[int],
    seed: int,
    menu: Sequence[Callable[[World], None]] = OPERATIONS,
    *,
    may_forget: bool = False,
    has_gpus: bool = False,
) -> World:
    world = World(seed, may_forget=may_forget, has_gpus=has_gpus)
    for operation in operations:
        menu[operation](world)
        await world.settle()
    await world.close()
    return world


@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    operations=st.lists(st.integers(0, len(OPERATIONS) - 1), min_size=5, max_size=60),
    seed=st.integers(0, 2**32),
)
def test_any_interleaving_keeps_the_budget_and_loses_no_request(
    operations: list[int], seed: int
) -> None:
    asyncio.run(walk(operations, seed))


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    operations=st.lists(st.integers(0, len(OPERATIONS) - 1), min_size=5, max_size=60),
    seed=st.integers(0, 2**32),
    remembered=st.integers(0, 2),
)
def test_any_interleaving_does_so_where_models_are_forgotten_at_once(
    operations: list[int], seed: int, remembered: int
) -> None:
    with patch.object(absent, "REMEMBERED", remembered):
        asyncio.run(walk(operations, seed, may_forget=True))


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    operations=st.lists(st.integers(0, len(CONTENTION) - 1), min_size=20, max_size=100),
    seed=st.integers(0, 2**32),
)
def test_any_interleaving_does_so_where_many_want_the_same_memory(
    operations: list[int], seed: int
) -> None:
    asyncio.run(walk(operations, seed, CONTENTION))


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    operations=st.lists(st.integers(0, len(CONTENTION) - 1), min_size=20, max_size=100),
    seed=st.integers(0, 2**32),
)
def test_any_interleaving_does_so_on_each_device(operations: list[int], seed: int) -> None:
    asyncio.run(walk(operations, seed, CONTENTION, has_gpus=True))


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    operations=st.lists(st.integers(0, len(OPERATIONS) - 1), min_size=5, max_size=60),
    seed=st.integers(0, 2**32),
)
def test_any_interleaving_does_so_on_each_device_whatever_happens(
    operations: list[int], seed: int
) -> None:
    asyncio.run(walk(operations, seed, has_gpus=True))


def test_the_walks_come_across_what_they_are_to_show() -> None:
    """Else the properties would hold because nothing has happened."""
    chance = random.Random(8)
    taken_back = expired = relieved = 0
    for seed in range(100):
        operations = [chance.randrange(len(CONTENTION)) for _ in range(100)]
        world = asyncio.run(walk(operations, seed, CONTENTION))
        taken_back += world.taken_back
        expired += world.expired
        relieved += world.relieved
    assert taken_back >= 4
    assert expired >= 20
    assert relieved >= 20
