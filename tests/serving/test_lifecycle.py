# SPDX-License-Identifier: GPL-3.0-only
"""How loads begin, go on, fail and are tried again, on virtual time."""

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from modeld import Engine, EngineHost, ModelSpec, Options
from modeld.errors import InvalidModelError, LoadFailedError
from modeld.events import (
    ModelEvicted,
    ModelLoaded,
    ModelLoadFailed,
    ModelLoading,
    ModelLoadProgress,
    WorkerExited,
)
from modeld.serving.state.cooldown import FIRST_S
from modeld.status import EvictionReason, InstanceState
from modeld.testing.doubles.virtual_time import now_s, run_virtually, settle
from tests.support.serving.desk import state_of
from tests.support.serving.fakes import MIB, FakeBackend, FakeEngine
from tests.support.serving.stage import a_stage


def test_a_load_is_announced_and_so_is_its_end() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a", 100)
            await stage.client(entry, needs_slot=False)
            await asyncio.sleep(3)
            await stage.end_load("a", held_mb=120)
            assert stage.seen(ModelLoading) == [ModelLoading(model="a")]
            (loaded,) = stage.seen(ModelLoaded)
            assert loaded.seconds == pytest.approx(3, abs=1e-3)
            assert (loaded.held_bytes, loaded.estimated_bytes) == (120 * MIB, 100 * MIB)

    run_virtually(main())


class Talker(FakeBackend):
    """Reports progress as often as the test says before it says nothing any more."""

    def __init__(self, reports: int, every_s: float) -> None:
        super().__init__()
        self._reports, self._every_s = reports, every_s
        self.stopped_s = 0.0

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        for number in range(self._reports):
            await asyncio.sleep(self._every_s)
            host.progress((number + 1) / self._reports)
        try:
            return await super().load(spec, options, host)
        finally:
            self.stopped_s = now_s()


def test_a_load_without_progress_is_given_up_after_its_timeout() -> None:
    async def main() -> None:
        async with a_stage(load_timeout_s=30) as stage:
            entry = stage.entry("a")
            client = await stage.client(entry)
            assert await client.outcome() == "load_failed"
            assert client.ended_s - client.sent_s == pytest.approx(30, abs=0.1)
            assert "a" not in stage.backend.loads, "the backend was told to stop"
            assert stage.scheduler.ledger.held_bytes == 0
            assert entry.last_error is not None
            assert "made no progress for 30 s" in entry.last_error

    run_virtually(main())


def test_a_load_that_makes_progress_may_take_longer_than_its_timeout() -> None:
    async def main() -> None:
        async with a_stage(load_timeout_s=30) as stage:
            entry = stage.entry("a")
            entry.backend = talker = Talker(reports=10, every_s=20)
            client = await stage.client(entry)
            assert await client.outcome() == "load_failed"
            assert client.ended_s - client.sent_s == pytest.approx(10 * 20 + 30, abs=0.1)
            assert talker.stopped_s > 0
            fractions = [event.fraction for event in stage.seen(ModelLoadProgress)]
            assert fractions == pytest.approx([number / 10 for number in range(1, 11)])

    run_virtually(main())


def test_a_backends_own_timeout_is_its_failure_and_not_ours() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            client = await stage.client(stage.entry("a"))
            await stage.fail_load("a", TimeoutError("the network is slow"))
            assert await client.outcome() == "load_failed"
            (failed,) = stage.seen(ModelLoadFailed)
            assert "TimeoutError: the network is slow" in failed.message

    run_virtually(main())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LoadFailedError("no such tensor"), "load_failed"),
        (InvalidModelError("no such tensor"), "invalid_model"),
        (ValueError("no such tensor"), "load_failed"),
        (MemoryError("no such tensor"), "load_failed"),
    ],
)
def test_a_failed_load_is_told_to_all_who_wait_with_its_cause(error: Exception, code: str) -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            clients = [await stage.client(entry) for _ in range(3)]
            await stage.fail_load("a", error)
            assert [await client.outcome() for client in clients] == [code] * 3
            (failed,) = stage.seen(ModelLoadFailed)
            assert failed.reason == code
            assert "model 'a' could not be loaded" in failed.message
            assert "no such tensor" in failed.message
            assert failed.retry_after_s == FIRST_S
            assert state_of(entry) is None
            assert entry.state(now_s()) is InstanceState.FAILED

    run_virtually(main())


class FussyError(InvalidModelError):
    """A backend's own error, made in its own way."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


def test_a_backend_may_raise_an_error_class_of_its_own() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            client = await stage.client(stage.entry("a"), max_wait_s=100)
            await stage.fail_load("a", FussyError("tensor 7", "missing"))
            assert await client.outcome() == "invalid_model"
            assert stage.scheduler.ledger.held_bytes == 0

    run_virtually(main())


class NoSlots(FakeEngine):
    """An engine whose author forgot to say how many slots there are."""

    def __init__(self) -> None:
        super().__init__()
        del self.slots


NO_ENGINES: dict[str, Any] = {
    "nothing": lambda: None,
    "a string": lambda: "engine",
    "something like an engine": lambda: SimpleNamespace(slots=1, held_bytes=0),
    "no slots": NoSlots,
    "zero slots": lambda: FakeEngine(slots=0),
}


@pytest.mark.parametrize("lie", NO_ENGINES)
def test_a_backend_that_returns_no_usable_engine_has_failed_to_load(lie: str) -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            client = await stage.client(entry, max_wait_s=100)
            stage.backend.loads["a"].set_result(NO_ENGINES[lie]())
            assert await client.outcome() == "load_failed"
            assert state_of(entry) is None

    run_virtually(main())


def test_a_model_that_keeps_failing_is_tried_less_and_less_often() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            tried_s: list[float] = []
            for _ in range(120):
                client = await stage.client(entry)
                if "a" in stage.backend.loads:
                    tried_s.append(now_s())
                    await stage.fail_load("a", LoadFailedError("no"))
                assert await client.outcome() == "load_failed"
                await asyncio.sleep(1)
            gaps_s = [b - a for a, b in itertools.pairwise(tried_s)]
            assert gaps_s == pytest.approx([5, 10, 20, 40], abs=1.1)

    run_virtually(main())


def test_a_client_that_leaves_does_not_stop_a_load_that_another_waits_for() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            first, second = await stage.client(entry), await stage.client(entry)
            await first.give_up()
            await stage.end_load("a")
            assert second.runs

    run_virtually(main())


def test_a_death_is_told_with_its_cause_and_the_next_request_loads_anew() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, engine, client = await stage.busy("a")
            waiting = await stage.client(entry)
            engine.die()
            await settle()
            assert stage.seen(WorkerExited) == [
                WorkerExited(model="a", cause="exit", detail="the test killed it")
            ]
            assert stage.seen(ModelEvicted)[0].reason is EvictionReason.WORKER_EXITED
            assert stage.backend.started == ["a", "a"]
            await client.leave()
            await stage.end_load("a")
            assert waiting.runs

    run_virtually(main())
