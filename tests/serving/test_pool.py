# SPDX-License-Identifier: GPL-3.0-only
"""Leases and unloads, on virtual time."""

import asyncio
import gc
import logging

import pytest

from modeld.errors import LoadFailedError, QueueFullError, WaitTimeoutError
from modeld.events import ModelEvicted
from modeld.plugins.faults import only_logged
from modeld.plugins.guarded_policy import GuardedPolicy
from modeld.status import EvictionReason, InstanceState
from modeld.testing.doubles.virtual_time import now_s, run_virtually, settle
from tests.serving.scheduling.eviction.test_policy_faults import Whim
from tests.support.serving.desk import state_of
from tests.support.serving.fakes import MIB, FakeEngine
from tests.support.serving.stage import a_stage


def test_a_lease_gives_the_engine_and_takes_it_back() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            client = await stage.client(entry)
            assert client.waits
            engine = await stage.end_load("a")
            assert client.engine is engine
            assert len(entry.queue.running) == 1
            await client.leave()
            assert entry.is_idle
            assert not engine.closed

    run_virtually(main())


def test_a_lease_that_ends_in_an_error_gives_the_slot_back() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, _engine = await stage.resident("a")
            with pytest.raises(ZeroDivisionError):
                async with stage.pool.lease(entry, max_wait_s=1):
                    raise ZeroDivisionError
            assert entry.is_idle

    run_virtually(main())


@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("depth", [0, 1, 8])
@pytest.mark.parametrize("too_many", [1, 10])
def test_exactly_slots_and_queue_are_accepted_and_the_rest_is_refused(
    slots: int, depth: int, too_many: int
) -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a", slots=slots, depth=depth)
            clients = [await stage.client(entry) for _ in range(slots + depth + too_many)]
            await stage.end_load("a", slots=slots)
            assert sum(client.runs for client in clients) == slots
            assert sum(client.waits for client in clients) == depth
            for client in clients:
                client.may_leave.set()
            outcomes = [await client.outcome() for client in clients]
            assert outcomes == ["completed"] * (slots + depth) + ["queue_full"] * too_many
            assert stage.backend.started == ["a"]

    run_virtually(main())


def test_who_is_refused_takes_no_position() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a", slots=1, depth=0)
            client = await stage.client(entry)
            await stage.end_load("a")
            for _ in range(3):
                with pytest.raises(QueueFullError):
                    async with stage.pool.lease(entry, max_wait_s=1):
                        pass
            await client.leave()
            assert (await stage.client(entry)).runs

    run_virtually(main())


def test_a_wait_that_takes_too_long_ends_on_time_and_frees_its_position() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, _engine, running = await stage.busy("a")
            waiting = await stage.client(entry, max_wait_s=7)
            assert await waiting.outcome() == "wait_timeout"
            assert waiting.ended_s - waiting.sent_s == pytest.approx(7, abs=1e-3)
            assert not entry.queue.waiting
            await running.leave()
            assert not waiting.entered.is_set(), "nothing starts after the refusal"

    run_virtually(main())


def test_a_wait_for_a_load_is_bounded_too_and_the_load_goes_on() -> None:
    async def main() -> None:
        async with a_stage(load_timeout_s=1000) as stage:
            entry = stage.entry("a")
            waiting = await stage.client(entry, max_wait_s=7)
            assert await waiting.outcome() == "wait_timeout"
            await stage.end_load("a")
            assert entry.is_idle

    run_virtually(main())


def test_a_wait_timeout_says_how_long_it_was_and_when_to_come_back() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, _engine, _running = await stage.busy("a")
            with pytest.raises(
                WaitTimeoutError, match=r"no slot of model 'a' was free within 2\.5 s"
            ) as e:
                async with stage.pool.lease(entry, max_wait_s=2.5):
                    pass
            assert e.value.retryable
            assert e.value.retry_after_s is not None

    run_virtually(main())


def test_an_error_that_comes_as_its_client_leaves_is_nobodys_business(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, _engine, _running = await stage.busy("a")
            leaving = await stage.client(entry)
            entry.queue.fail(LoadFailedError("too late"))
            await leaving.give_up()
            assert not entry.queue.waiting

    run_virtually(main())
    gc.collect()
    assert caplog.messages == []


def test_the_forecast_learns_from_how_long_slots_were_held() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, _engine, client = await stage.busy("a")
            before_s = entry.queue.mean_s
            await asyncio.sleep(100)
            await client.leave()
            assert entry.queue.mean_s > before_s * 10

    run_virtually(main())


def test_a_load_by_name_waits_for_the_model_and_holds_nothing() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            load = await stage.client(entry, needs_slot=False)
            assert load.waits
            await stage.end_load("a")
            assert await load.outcome() == "completed"
            assert entry.is_idle
            again = await stage.client(entry, needs_slot=False)
            assert await again.outcome() == "completed"
            assert stage.backend.started == ["a"]

    run_virtually(main())


def test_an_unload_waits_for_running_requests_and_returns_when_the_memory_is_free() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, engine, client = await stage.busy("a")
            engine.may_close.clear()
            unload = asyncio.create_task(stage.pool.unload(entry))
            await settle()
            assert state_of(entry) is InstanceState.DRAINING
            assert client.runs
            await client.leave()
            assert not unload.done()
            assert stage.scheduler.ledger.held_bytes == 100 * MIB
            engine.may_close.set()
            await unload
            assert stage.scheduler.ledger.held_bytes == 0
            assert stage.seen(ModelEvicted) == [
                ModelEvicted(
                    model="a", reason=EvictionReason.UNLOAD_REQUESTED, freed_bytes=100 * MIB
                )
            ]

    run_virtually(main())


def test_an_unload_of_an_absent_model_returns_at_once() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            await stage.pool.unload(stage.entry("a"))
            assert stage.backend.started == []

    run_virtually(main())


def test_an_unload_while_loading_ends_with_the_model_out_of_memory() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            load = await stage.client(entry, needs_slot=False)
            await load.give_up()
            unload = asyncio.create_task(stage.pool.unload(entry))
            await settle()
            assert not unload.done()
            engine = await stage.end_load("a")
            await unload
            assert engine.closed
            assert state_of(entry) is None

    run_virtually(main())


def test_who_waited_for_a_load_that_was_unloaded_gets_the_next_instance() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            client = await stage.client(entry)
            unload = asyncio.create_task(stage.pool.unload(entry))
            await settle()
            await stage.end_load("a")
            await unload
            assert client.waits
            await stage.end_load("a")
            assert client.runs
            assert stage.backend.started == ["a", "a"]

    run_virtually(main())


def test_two_unloads_at_once_both_return() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, _engine = await stage.resident("a")
            await asyncio.gather(stage.pool.unload(entry), stage.pool.unload(entry))
            assert len(stage.seen(ModelEvicted)) == 1

    run_virtually(main())


def test_evictions_are_counted() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            await stage.resident("a")
            client = await stage.client(stage.entry("b"))
            await stage.end_load("b")
            await client.leave()
            assert stage.pool.evictions_total == 1
            assert [event.reason for event in stage.seen(ModelEvicted)] == [
                EvictionReason.MAKE_ROOM
            ]
        assert stage.pool.evictions_total == 1, "the end of the server is no eviction"
        assert stage.seen(ModelEvicted)[-1].reason is EvictionReason.SHUTDOWN

    run_virtually(main())


def test_an_engine_that_does_not_close_cleanly_is_counted_as_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Stubborn(FakeEngine):
        async def aclose(self) -> None:
            raise RuntimeError("I stay")

    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            await stage.client(entry, needs_slot=False)
            stage.backend.loads["a"].set_result(Stubborn())
            await settle()
            await stage.pool.unload(entry)
            assert stage.scheduler.ledger.held_bytes == 0

    run_virtually(main())
    assert "engine of 'a' did not close cleanly" in caplog.text


def test_the_last_words_of_an_engine_are_kept() -> None:
    class Chatty(FakeEngine):
        def log_tail(self) -> tuple[str, ...]:
            return ("so long",)

    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            await stage.client(entry, needs_slot=False)
            stage.backend.loads["a"].set_result(Chatty())
            await settle()
            assert entry.status(0).log_tail == ("so long",)
            await stage.pool.unload(entry)
            assert entry.status(0).log_tail == ("so long",)

    run_virtually(main())


def test_loads_and_unloads_leave_no_task_behind() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            before = len(asyncio.all_tasks())
            for _ in range(10):
                await stage.client(entry, needs_slot=False)
                await stage.end_load("a")
                await stage.pool.unload(entry)
            stage.clients.clear()
            await settle()
            names = [task.get_name() for task in asyncio.all_tasks()]
            assert len(names) == before, names

    run_virtually(main())


def test_a_policy_that_lies_keeps_nobody_waiting_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        liar = Whim(lambda _candidates, _needed: [object()])
        guarded = GuardedPolicy(liar, None, only_logged)
        async with a_stage(budget_mb=100, policy=guarded) as stage:
            await stage.resident("a")
            client = await stage.client(stage.entry("b"), max_wait_s=20)
            assert await client.outcome() == "wait_timeout"
            assert client.ended_s - client.sent_s == pytest.approx(20, abs=1e-3)

    with caplog.at_level(logging.ERROR):
        run_virtually(main())
    assert "eviction policy 'whim'" in caplog.text


def test_the_last_use_on_the_wall_is_stamped_when_a_lease_ends() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, _engine, client = await stage.busy("a")
            await asyncio.sleep(50)
            await client.leave()
            assert entry.last_used_unix == int(now_s() + 1e6)

    run_virtually(main())


def test_who_was_never_let_in_has_not_used_the_model() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, _engine, _running = await stage.busy("a")
            entry.last_used_unix = 7
            waiting = await stage.client(entry, max_wait_s=3)
            assert await waiting.outcome() == "wait_timeout"
            await (await stage.client(entry)).give_up()
            assert entry.last_used_unix == 7

    run_virtually(main())


def test_the_models_that_are_ready_are_listed() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            ready, _engine = await stage.resident("a")
            await stage.client(stage.entry("b"))
            drained, _engine, _client = await stage.busy("c")
            stage.pool.drain(drained, EvictionReason.FILE_CHANGED)
            assert stage.scheduler.ready() == {ready.spec.id}

    run_virtually(main())


def test_an_unpin_makes_room_for_who_waits_at_once() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=200) as stage:
            pinned, _engine = await stage.resident("pinned")
            stage.pool.pin(pinned, pinned=True)
            _busy, _engine, _runs = await stage.busy("busy")
            waiting = await stage.client(stage.entry("waiting"))
            assert waiting.waits
            stage.pool.pin(pinned, pinned=False)
            await settle()
            await stage.end_load("waiting")
            assert waiting.runs

    run_virtually(main())


def test_a_pin_sends_away_at_once_who_no_longer_fits() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=200) as stage:
            busy, _engine, _runs = await stage.busy("busy")
            waiting = await stage.client(stage.entry("large", 150))
            assert waiting.waits
            stage.pool.pin(busy, pinned=True)
            assert await waiting.outcome() == "budget_exceeded"

    run_virtually(main())


def test_a_pin_comes_too_late_for_a_victim_and_holds_for_the_next_instance() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            victim, engine = await stage.resident("victim")
            engine.may_close.clear()
            winner = stage.entry("winner")
            first = await stage.client(winner)
            stage.pool.pin(victim, pinned=True)
            engine.may_close.set()
            await settle()
            await stage.end_load("winner")
            assert first.runs
            await first.leave()
            again = await stage.client(victim)
            await stage.end_load("victim")
            assert again.runs
            await again.leave()
            refused = await stage.client(winner)
            assert await refused.outcome() == "budget_exceeded"

    run_virtually(main())


def test_a_model_that_is_pinned_while_it_loads_stays_once_it_is_there() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            loading = stage.entry("loading")
            first = await stage.client(loading)
            stage.pool.pin(loading, pinned=True)
            other = await stage.client(stage.entry("other"))
            assert other.waits
            await stage.end_load("loading")
            assert first.runs
            assert await other.outcome() == "budget_exceeded"

    run_virtually(main())


def test_a_slot_that_comes_in_the_moment_in_which_its_client_leaves_is_a_use_and_is_free() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, _engine = await stage.resident("a")
            first, second = await stage.client(entry), await stage.client(entry)
            await asyncio.sleep(10)
            (ticket,) = entry.queue.waiting
            second.task.cancel()
            entry.last_used_unix = 7
            stage.scheduler.leave(entry, *entry.queue.running, now_s())
            stage.scheduler.decide(now_s())
            assert ticket in entry.queue.running, "nobody knows yet that its client leaves"
            await settle()
            assert entry.last_used_unix == int(now_s() + 1e6)
            assert ticket not in entry.queue.running
            await first.leave()
            assert entry.is_idle

    run_virtually(main())
