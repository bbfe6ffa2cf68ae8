# SPDX-License-Identifier: GPL-3.0-only
"""Rule 15: whatever happens in whatever order, memory is never overdrawn and nothing is lost."""

import asyncio
import itertools
import random
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from modeld import MemoryEstimate
from modeld.errors import LoadFailedError, ModeldError
from modeld.serving.instance import Instance, Place
from modeld.serving.pool import Pool
from modeld.values import EvictionReason, FileStamp, InstanceState
from tests.serving.fakes import MIB, Clock, FakeBackend, FakeEngine, NoHosting, a_place, some_turns

MODELS = {"a": 100, "b": 150, "c": 60, "d": 400}
BUDGET_MB = 260
QUIET = 30
"""Steps of the event loop after which nothing moves by itself."""


class World:
    """A pool, its clients, and what a random walk may do to them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = Clock()
        self.backend = FakeBackend()
        self.turns = some_turns(budget_mb=BUDGET_MB, min_residence_s=1.0, max_overtake_s=5.0)
        self.places: list[Place] = []
        for model, size_mb in MODELS.items():
            place = a_place(
                self.backend, model, size_mb=size_mb, slots=2, depth=2, measurable=model in "bcd"
            )
            self.turns.places[model] = place
            self.places.append(place)
        self.pool = Pool(
            self.turns,
            NoHosting(),
            load_timeout_s=60,
            notify=lambda _event: None,
            clock=self.clock,
        )
        self.clients: dict[asyncio.Task[str], asyncio.Event] = {}
        self.engines: list[FakeEngine] = []
        self.outcomes: list[str] = []
        self.broken: list[BaseException] = []
        self.sent = 0
        self.closing = False
        self.stays: dict[Place, Instance] = {}
        self.stamps = itertools.count(1)

    async def client(self, place: Place, finish: asyncio.Event, *, needs_slot: bool) -> str:
        try:
            async with self.pool.lease(place, max_wait_s=60, needs_slot=needs_slot) as engine:
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
        place = self.random.choice(self.places)
        task = asyncio.get_running_loop().create_task(
            self.client(place, finish, needs_slot=needs_slot)
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
            engine = FakeEngine(slots=2, held_bytes=held_mb * MIB)
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
                size_mb and MemoryEstimate(weights_bytes=size_mb * MIB)
            )

    def kill_engine(self) -> None:
        alive = [engine for engine in self.engines if not engine.closed]
        if alive:
            self.random.choice(alive).die()

    def unload(self) -> None:
        place = self.random.choice(self.places)
        self.pool._tasks.spawn(self.pool.unload(place), "unload")

    def toggle_pin(self) -> None:
        place = self.random.choice(self.places)
        self.pool.pin(place, pinned=not place.pinned)
        self.stays.pop(place, None)

    def check_pins(self) -> None:
        for instance in self.stays.values():
            assert instance.drain_reason is not EvictionReason.MAKE_ROOM, "a pinned model went"
        for place in self.places:
            instance = place.instance
            if place.pinned and instance and instance.state is InstanceState.READY:
                self.stays[place] = instance

    def change_file(self) -> None:
        """What the service does when it sees that a file has changed."""
        place = self.random.choice([place for place in self.places if place.spec.id in "ad"])
        pinned, tally = place.pinned, place.tally
        size_mb = self.random.choice([50, 100, 200, 400])
        fresh = a_place(self.backend, place.spec.id, size_mb=size_mb, slots=2, depth=2)
        stamp = FileStamp(device=1, inode=1, size_bytes=1, mtime_ns=next(self.stamps))
        fresh.spec = replace(fresh.spec, stamp=stamp)
        place.renew(fresh)
        self.pool.drain(place, EvictionReason.FILE_CHANGED)
        assert (place.pinned, place.tally) == (pinned, tally)

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
            self.turns.check()
            self.check_pins()
        if steps == QUIET:
            self.check_nothing_is_left_to_decide()

    def check_nothing_is_left_to_decide(self) -> None:
        """Whatever has happened, the pool has asked what follows from it."""
        before = self.positions()
        decision = self.turns.decide(self.clock())
        undone = [decision.deaths, decision.measurements, decision.loads, decision.closes]
        assert not any(undone), f"not asked for: {undone}"
        assert self.positions() == before, "requests or models move when asked again"

    def positions(self) -> list[tuple[object, ...]]:
        """Who waits and who runs where, and what is in memory."""
        return [
            (
                list(place.line.waiting),
                set(place.line.running),
                place.instance and place.instance.state,
                set(place.victims),
            )
            for place in self.places
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
        self.turns.check()
        assert not self.broken, self.broken
        assert self.turns.ledger.held_bytes == 0, "the ledger is not empty after close"
        assert len(self.outcomes) == self.sent, "a request is unaccounted for"
        assert all(engine.closed for engine in self.engines), "an engine was never closed"
        assert all(place.line.is_empty for place in self.places)
        measured = self.backend.measured
        assert len(measured) == len(set(measured)), "a model was measured twice"


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
    World.change_file,
    World.toggle_closing,
    World.move_clock,
]


async def walk(operations: list[int], seed: int) -> World:
    world = World(seed)
    for operation in operations:
        OPERATIONS[operation](world)
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
