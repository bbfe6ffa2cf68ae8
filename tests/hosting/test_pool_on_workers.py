# SPDX-License-Identifier: GPL-3.0-only
"""The pool with real workers under it: what it counts is what there is."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from modeld import GenerateRequest, ModelSpec, Token
from modeld.errors import LoadFailedError, ModeldError, WorkerCrashedError
from modeld.events import Event, ModelLoadFailed, WorkerExited
from modeld.serving.pool import Pool
from modeld.serving.state.cooldown import Cooldown
from modeld.serving.state.memory_need import MemoryNeed
from modeld.serving.state.model_entry import ModelEntry
from tests.support.hosting.leaks import PATIENCE_S, run, until
from tests.support.hosting.rigged import HOSTS, a_hosting, options, plan, tokens
from tests.support.serving.fakes import MIB, a_scheduler


class World:
    """A pool with room for one rigged model of 100 MiB, unless the test says otherwise."""

    def __init__(self, pool: Pool, events: list[Event]) -> None:
        self.pool = pool
        self.events = events

    def entry(self, model: str, **choices: Any) -> ModelEntry:
        from modeld_rig.plugin import Rig

        spec = ModelSpec(id=model, name=model, path=f"/{model}", family="rig")
        need = MemoryNeed(100 * MIB, is_measurable=True)
        entry = ModelEntry(spec, Rig(), options(**choices), need, max_queue_depth=200)
        self.pool.scheduler.entries[model] = entry
        return entry

    async def ask(self, entry: ModelEntry, request: GenerateRequest | None = None) -> str:
        text = ""
        async with (
            self.pool.lease(entry, max_wait_s=PATIENCE_S) as lease,
            aclosing(lease.engine.generate(request or plan(tokens=3))) as chunks,
        ):
            async for chunk in chunks:
                text += chunk.text if isinstance(chunk, Token) else ""
        return text

    def seen(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def a_world(
    kind: str = "process", *, budget_mb: int = 100, load_timeout_s: float = PATIENCE_S
) -> AsyncIterator[World]:
    events: list[Event] = []
    async with a_hosting(kind) as owner:
        scheduler = a_scheduler(budget_mb=budget_mb)
        pool = Pool(scheduler, owner, load_timeout_s=load_timeout_s, notify=events.append)
        await pool.start()
        try:
            yield World(pool, events)
        finally:
            await pool.aclose()
        assert scheduler.ledger.held_bytes == 0


def pid_of(entry: ModelEntry) -> int:
    pid = entry.status(0.0).pid
    assert pid is not None
    return pid


@pytest.mark.parametrize("kind", HOSTS)
def test_a_model_is_measured_in_a_worker_before_it_is_loaded(kind: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def main() -> None:
        async with a_world(kind, budget_mb=99) as world:
            entry = world.entry("tight", measured_mb=90, journal=str(journal))
            assert await world.ask(entry) == tokens(3)
            assert world.pool.scheduler.ledger.held_bytes == 90 * MIB

    run(main())
    assert journal.read_text().startswith("measure tight\nload tight\n")


@pytest.mark.parametrize("fault", ["SIGKILL", "raise", "hang"])
def test_a_measurement_that_breaks_or_hangs_leaves_the_estimate(fault: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with a_world(load_timeout_s=2.0) as world:
            entry = world.entry("tight", measured_mb=90, measure_fault=fault)
            assert await world.ask(entry) == tokens(3)
            assert world.pool.scheduler.ledger.held_bytes == 100 * MIB
            assert len(psutil.Process().children()) == 1, "only the one that serves"

    run(main())


@pytest.mark.parametrize(
    ("fault", "code"),
    [("SIGKILL", "load_failed"), ("raise", "load_failed"), ("invalid no tensor", "invalid_model")],
)
def test_a_measurement_that_breaks_refuses_a_large_estimate_for_a_while_only(
    fault: str, code: str
) -> None:
    async def main() -> None:
        async with a_world(budget_mb=50) as world:
            entry = world.entry("large", measured_mb=40, measure_fault=fault)
            for _ in range(2):
                with pytest.raises(ModeldError) as caught:
                    await world.ask(entry)
                assert caught.value.code == code
                assert (caught.value.retry_after_s is not None) is caught.value.retryable
            entry.options = options(measured_mb=40)
            entry.cooldown = Cooldown()
            assert await world.ask(entry) == tokens(3)

    run(main())


def test_a_load_that_hangs_is_given_up_and_its_worker_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with a_world(load_timeout_s=1.0) as world:
            hanging = world.entry("hanging", load_fault="hang")
            with pytest.raises(LoadFailedError, match="made no progress for 1 s"):
                await world.ask(hanging)
            assert world.pool.scheduler.ledger.held_bytes == 0
            assert not psutil.Process().children()
            assert len(world.seen(ModelLoadFailed)) == 1
            assert await world.ask(world.entry("sound")) == tokens(3)

    run(main())


def test_a_load_that_hangs_in_a_thread_is_given_up(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def main() -> None:
        async with a_world("thread", load_timeout_s=1.0) as world:
            with pytest.raises(LoadFailedError, match="made no progress for 1 s"):
                await world.ask(world.entry("hanging", load_fault=f"block {gate}"))
            assert world.pool.scheduler.ledger.held_bytes == 0
        gate.touch()

    run(main())


def test_a_slow_load_that_reports_progress_is_waited_for(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def main() -> None:
        async with a_world(load_timeout_s=1.0) as world:
            entry = world.entry("slow", load_gate=str(gate))
            asking = asyncio.create_task(world.ask(entry))
            await asyncio.sleep(2.2)
            gate.touch()
            assert await asking == tokens(3)

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_an_unload_returns_when_the_worker_is_gone(kind: str) -> None:
    async def main() -> None:
        async with a_world(kind) as world:
            entry = world.entry("a")
            await world.ask(entry)
            worker = psutil.Process(pid_of(entry)) if kind == "process" else None
            await world.pool.unload(entry)
            assert worker is None or not worker.is_running()
            assert world.pool.scheduler.ledger.held_bytes == 0

    run(main())


def test_rule_6_two_workers_are_never_there_where_there_is_room_for_one() -> None:
    async def main() -> None:
        async with a_world() as world:
            entries = [world.entry(model) for model in ("a", "b")]
            for number in range(6):
                assert await world.ask(entries[number % 2]) == tokens(3)
                assert len(psutil.Process().children()) == 1
                assert psutil.Process().children()[0].pid == pid_of(entries[number % 2])

    run(main())


def test_rule_12_a_worker_killed_while_idle_is_noticed_and_loaded_anew() -> None:
    async def main() -> None:
        async with a_world() as world:
            entry = world.entry("a")
            await world.ask(entry)
            first = pid_of(entry)
            os.kill(first, signal.SIGKILL)
            await until(lambda: not entry.instances)
            assert world.pool.scheduler.ledger.held_bytes == 0
            assert world.seen(WorkerExited)[0].cause == "signal"
            assert await world.ask(entry) == tokens(3)
            assert pid_of(entry) != first

    run(main())


def test_rule_12_a_worker_killed_in_mid_stream_ends_its_streams_and_no_other(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with a_world(budget_mb=200) as world:
            a, b = world.entry("a", slots=2), world.entry("b")
            never, gate = str(tmp_path / "never"), tmp_path / "gate"
            streams = [
                asyncio.create_task(world.ask(a, plan(tokens=9, gate=never, gate_at=2)))
                for _ in range(2)
            ]
            other = asyncio.create_task(world.ask(b, plan(tokens=9, gate=str(gate), gate_at=2)))
            await until(lambda: len(a.queue.running) == 2 and len(b.queue.running) == 1)
            os.kill(pid_of(a), signal.SIGKILL)
            for stream in streams:
                with pytest.raises(WorkerCrashedError):
                    await stream
            assert await world.ask(a) == tokens(3)
            gate.touch()
            assert await other == tokens(9)

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_a_hundred_requests_share_the_slots_and_each_is_served_once(
    kind: str, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"

    async def main() -> None:
        async with a_world(kind) as world:
            entry = world.entry("a", slots=3, journal=str(journal))
            requests = [plan(tokens=2, nonce=f"n{number}") for number in range(100)]
            generations = await asyncio.gather(*(world.ask(entry, each) for each in requests))
            assert set(generations) == {tokens(2)}

    run(main())
    lines = journal.read_text().splitlines()
    assert sorted(line for line in lines if line.startswith("start")) == sorted(
        f"start n{number}" for number in range(100)
    )


def test_requests_that_are_cancelled_at_any_moment_leave_no_worker_and_no_byte() -> None:
    chance = random.Random(7)

    async def main() -> None:
        async with a_world() as world:
            entries = [world.entry(model) for model in ("a", "b")]
            for _ in range(40):
                asking = asyncio.create_task(
                    world.ask(chance.choice(entries), plan(tokens=chance.choice([1, 200])))
                )
                for _ in range(chance.randrange(60)):
                    await asyncio.sleep(0)
                asking.cancel()
                await asyncio.wait([asking])
                if not asking.cancelled() and (error := asking.exception()):
                    assert isinstance(error, ModeldError)
                world.pool.scheduler.check()
                assert len(psutil.Process().children()) <= 1
            assert await world.ask(entries[0]) == tokens(3)

    run(main())


def test_the_end_kills_a_worker_that_loads_and_one_that_works(tmp_path: Path) -> None:
    never = str(tmp_path / "never")

    async def main() -> None:
        async with a_world(budget_mb=200) as world:
            loading = asyncio.create_task(world.ask(world.entry("a", load_gate=never)))
            b = world.entry("b")
            working = asyncio.create_task(world.ask(b, plan(tokens=9, gate=never)))
            await until(lambda: b.queue.running)
            await world.pool.aclose()
            assert not psutil.Process().children()
            for each in (loading, working):
                with pytest.raises(ModeldError) as caught:
                    await each
                assert caught.value.code == "draining"

    run(main())
