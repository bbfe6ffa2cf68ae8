# SPDX-License-Identifier: GPL-3.0-only
"""The rules that no part may break, each by its number, as the pool keeps them.

Rule 13 is shown with the service, rules 11, 12 and 14 with real workers too, rule 15 by the
property test.
"""

import asyncio
from collections.abc import Callable

from modeld.events import ModelEvicted, ModelLoading, WorkerExited
from modeld.serving.contained_engine import CLOSE_LIMIT_S
from modeld.serving.state.cooldown import FIRST_S
from modeld.status import EvictionReason, InstanceState
from modeld.testing.doubles.virtual_time import now_s, run_virtually, settle
from tests.support.serving.desk import state_of
from tests.support.serving.fakes import MIB
from tests.support.serving.stage import a_stage


async def step_until(holds: Callable[[], bool]) -> None:
    """Let tasks go on one step at a time until ``holds``."""
    for _ in range(100):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


def test_rule_1_at_most_one_load_per_model_and_all_waiters_share_it() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a", slots=50, depth=50)
            clients = [await stage.client(entry) for _ in range(50)]
            await stage.end_load("a", slots=50)
            assert all(client.runs for client in clients)
            assert stage.backend.started == ["a"]
            assert stage.seen(ModelLoading) == [ModelLoading(model="a")]

    run_virtually(main())


def test_rule_1_no_waiters_leaving_stops_a_load_while_another_waits() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            clients = [await stage.client(entry) for _ in range(3)]
            await clients[0].give_up()
            await clients[2].give_up()
            assert "a" in stage.backend.loads
            await stage.end_load("a")
            assert clients[1].runs

    run_virtually(main())


def test_rule_2_a_loading_model_is_never_evicted() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100, max_overtake_s=0) as stage:
            first = await stage.client(stage.entry("a"))
            second = await stage.client(stage.entry("b"))
            await asyncio.sleep(50)
            assert stage.backend.started == ["a"]
            await stage.end_load("a")
            assert first.runs
            assert second.waits

    run_virtually(main())


def test_rule_2_a_leased_model_is_never_evicted() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100, max_overtake_s=0) as stage:
            _entry, engine, client = await stage.busy("a")
            await stage.client(stage.entry("b"))
            await stage.client(stage.entry("c"))
            await asyncio.sleep(10_000)
            assert not engine.closed
            await client.leave()
            assert engine.closed

    run_virtually(main())


def test_rule_2_a_granted_request_that_has_not_started_yet_keeps_its_model() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100, max_overtake_s=0) as stage:
            entry, engine, running = await stage.busy("a")
            granted = await stage.client(entry)
            await stage.client(stage.entry("b"))
            running.may_leave.set()
            await step_until(lambda: not entry.queue.waiting)
            assert not granted.entered.is_set(), "it is granted and has not gone on yet"

            stage.pool._decide()

            await settle()
            assert granted.engine is engine
            assert not engine.closed

    run_virtually(main())


def test_rule_2_a_waiter_counts_as_a_reference() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry, engine, client = await stage.busy("a")
            waiting = await stage.client(entry)
            await stage.client(stage.entry("b"))
            await client.leave()
            assert waiting.runs
            assert not engine.closed

    run_virtually(main())


def test_rule_3_what_nobody_claims_any_more_is_taken_back() -> None:
    """A stream of 60 s, another model that waits 20 s in vain, and short requests all along."""

    async def main() -> None:
        async with a_stage(budget_mb=100, max_overtake_s=10) as stage:
            entry = stage.entry("a", slots=4)
            stream = await stage.client(entry)
            engine = await stage.end_load("a", slots=4)
            waiting = await stage.client(stage.entry("b"), max_wait_s=20)
            begun_s, longest_s = now_s(), 0.0
            while now_s() < begun_s + 60:
                short = await stage.client(entry)
                await asyncio.sleep(0.5)
                longest_s = max(longest_s, short.entered_s - short.sent_s)
                assert short.runs, "a slot is idle, and nobody is served"
                await short.leave()
            assert longest_s < 0.01
            assert await waiting.outcome() == "wait_timeout"
            assert state_of(entry) is InstanceState.READY
            await stream.leave()
            assert stream.engine is engine
            assert stage.backend.started == ["a"]

    run_virtually(main())


def test_rule_3_closing_is_one_way_and_who_arrives_meanwhile_waits_for_the_next() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, engine, client = await stage.busy("a")
            stage.pool.drain(entry, EvictionReason.UNLOAD_REQUESTED)
            late = await stage.client(entry)
            assert late.waits
            await client.leave()
            assert engine.closed
            assert late.waits
            next_engine = await stage.end_load("a")
            assert late.engine is next_engine

    run_virtually(main())


def test_rule_4_each_pending_load_owns_its_victims() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=200) as stage:
            _a, first = await stage.resident("a")
            _b, second = await stage.resident("b")
            first.may_close.clear()
            second.may_close.clear()
            c, d = stage.entry("c"), stage.entry("d")
            await stage.client(c)
            await stage.client(d)
            assert [len(c.victims), len(d.victims)] == [1, 1]
            assert c.victims.isdisjoint(d.victims)
            second.may_close.set()
            await settle()
            assert len(stage.backend.loads) == 1, "what one victim frees is enough for one load"
            first.may_close.set()

    run_virtually(main())


def test_rule_4_two_loads_never_count_the_same_bytes() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=250) as stage:
            _victim, engine = await stage.resident("victim", 150)
            engine.may_close.clear()
            await stage.client(stage.entry("older", 250))
            await stage.client(stage.entry("younger", 100))
            assert stage.backend.loads == {}, "the free 100 MiB belong to the older one"
            engine.may_close.set()
            await settle()
            assert list(stage.backend.loads) == ["older"]

    run_virtually(main())


def test_rule_5_a_slow_load_holds_up_no_other_model() -> None:
    async def main() -> None:
        async with a_stage(load_timeout_s=1e6) as stage:
            slow = await stage.client(stage.entry("slow"))
            quick = await stage.client(stage.entry("quick"))
            await stage.end_load("quick")
            assert quick.runs
            assert slow.waits

    run_virtually(main())


def test_rule_5_a_slow_unload_and_a_slow_client_hold_up_no_other_model() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=300) as stage:
            _a, engine = await stage.resident("a")
            engine.may_close.clear()
            _b, _engine, _client = await stage.busy("b")
            stuck = await stage.client(stage.entry("stuck", 150))
            other = await stage.client(stage.entry("other", 50))
            assert state_of(stage.scheduler.entries["a"]) is InstanceState.DRAINING
            assert stuck.waits
            await stage.end_load("other")
            assert other.runs
            engine.may_close.set()

    run_virtually(main())


def test_rule_6_bytes_stay_reserved_until_the_worker_has_exited() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            _a, engine = await stage.resident("a")
            engine.may_close.clear()
            client = await stage.client(stage.entry("b"))
            await asyncio.sleep(CLOSE_LIMIT_S - 1)
            assert stage.scheduler.ledger.held_bytes == 100 * MIB
            assert client.waits
            assert stage.backend.loads == {}
            engine.may_close.set()
            await settle()
            assert list(stage.backend.loads) == ["b"]

    run_virtually(main())


def test_rule_6_the_larger_of_estimate_and_measurement_counts() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=1000) as stage:
            for model, estimated_mb, measured_mb, counted_mb in (
                ("a", 100, 150, 150),
                ("b", 100, 50, 150 + 100),
                ("c", 100, 0, 150 + 100 + 100),
            ):
                entry = stage.entry(model, estimated_mb)
                await stage.client(entry, needs_slot=False)
                await stage.end_load(model, held_mb=measured_mb)
                assert stage.scheduler.ledger.held_bytes == counted_mb * MIB

    run_virtually(main())


def test_rule_7_a_model_that_can_never_fit_is_refused_before_anyone_is_evicted() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=200) as stage:
            _a, engine = await stage.resident("a")
            giant = await stage.client(stage.entry("giant", 201))
            assert await giant.outcome() == "model_exceeds_budget"
            assert giant.ended_s == giant.sent_s, "at once"
            assert stage.seen(ModelEvicted) == []
            assert not engine.closed

    run_virtually(main())


def test_rule_9_the_limit_counts_every_waiting_request_resident_model_or_not() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            resident, _engine, _client = await stage.busy("resident")
            resident.queue.max_depth = 2
            absent = stage.entry("absent", depth=2)
            for entry, accepted in ((resident, 2), (absent, 3)):
                clients = [await stage.client(entry) for _ in range(5)]
                assert sum(client.waits for client in clients) == accepted
                for client in clients[accepted:]:
                    assert await client.outcome() == "queue_full"

    run_virtually(main())


def test_rule_10_no_waiter_is_overtaken_for_longer_than_the_bound() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100, max_overtake_s=10) as stage:
            entry, _engine, running = await stage.busy("a")
            waiting = await stage.client(stage.entry("b"))
            overtaken_since_s = now_s()
            while stage.backend.started == ["a"] and now_s() < overtaken_since_s + 100:
                following = await stage.client(entry)
                await asyncio.sleep(1)
                await running.leave()
                running = following
            assert 10 <= now_s() - overtaken_since_s <= 12.5
            await stage.end_load("b")
            assert waiting.runs

    run_virtually(main())


def test_rule_10_minimum_residence_damps_thrashing() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100, min_residence_s=5) as stage:
            await stage.resident("a")
            loaded_s = now_s()
            await stage.client(stage.entry("b"))
            await asyncio.sleep(4.9)
            assert stage.backend.started == ["a"]
            await asyncio.sleep(0.2)
            assert stage.backend.started == ["a", "b"]
            assert now_s() - loaded_s < 5.2

    run_virtually(main())


def test_rule_11_a_client_that_leaves_holds_nothing_more_while_queued_loading_and_running() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a", slots=1, depth=0)
            loading = await stage.client(entry)
            await loading.give_up()
            assert entry.queue.is_empty
            running = await stage.client(entry)
            await stage.end_load("a")
            assert running.runs
            await running.give_up()
            assert entry.queue.is_empty
            entry.queue.max_depth = 1
            running = await stage.client(entry)
            queued = await stage.client(entry)
            await queued.give_up()
            assert not entry.queue.waiting
            assert (await stage.client(entry)).waits
            assert running.runs

    run_virtually(main())


def test_rule_11_a_client_that_leaves_as_its_slot_comes_gives_the_slot_back() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, _engine, running = await stage.busy("a")
            leaving = await stage.client(entry)
            next_one = await stage.client(entry)
            running.may_leave.set()
            await step_until(lambda: len(entry.queue.waiting) == 1)
            assert leaving.waits
            await leaving.give_up()
            assert next_one.runs
            assert len(entry.queue.running) == 1

    run_virtually(main())


def test_rule_12_a_dead_workers_bytes_are_freed_and_the_next_request_loads_anew() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry, engine = await stage.resident("a")
            engine.die()
            await settle()
            assert engine.closed
            assert stage.scheduler.ledger.held_bytes == 0
            assert state_of(entry) is None
            client = await stage.client(entry)
            await stage.end_load("a")
            assert client.runs

    run_virtually(main())


def test_rule_12_a_dead_workers_bytes_are_freed_although_requests_are_still_on_it() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            _entry, engine, client = await stage.busy("a")
            engine.die()
            await settle()
            assert client.runs
            assert stage.scheduler.ledger.held_bytes == 0

    run_virtually(main())


def test_rule_12_a_model_that_keeps_dying_cools_down_for_longer_and_longer() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            waits_s = []
            for _ in range(4):
                await stage.client(entry, needs_slot=False)
                engine = await stage.end_load("a")
                engine.die()
                await settle()
                waits_s.append(entry.cooldown.remaining_s(now_s()))
                await asyncio.sleep(waits_s[-1])
            assert [round(wait_s) for wait_s in waits_s] == [0, FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
            assert len(stage.seen(WorkerExited)) == 4

    run_virtually(main())


def test_rule_12_a_model_that_works_again_has_no_record() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = stage.entry("a")
            for _ in range(4):
                client = await stage.client(entry)
                engine = await stage.end_load("a")
                await asyncio.sleep(60)
                await client.leave()
                engine.die()
                await settle()
                assert entry.cooldown.remaining_s(now_s()) == 0

    run_virtually(main())
