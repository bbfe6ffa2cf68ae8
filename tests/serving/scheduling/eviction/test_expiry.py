# SPDX-License-Identifier: GPL-3.0-only
"""A model that nobody uses leaves memory after its time, and never while anybody needs it."""

import asyncio
import math
from collections.abc import Callable

import pytest

from modeld.events import ModelEvicted
from modeld.requests import KeepAliveSeconds
from modeld.serving.state.model_entry import ModelEntry
from modeld.status import EvictionReason, InstanceState
from modeld.testing.doubles.virtual_time import now_s, run_virtually, settle
from tests.support.serving.counter import a_counter, a_shelf, until
from tests.support.serving.desk import (
    Desk,
    drained,
    engine_of,
    is_closing,
    owner_of,
    reason_of,
    residence_of,
    runs,
    state_of,
)
from tests.support.serving.fakes import an_entry
from tests.support.serving.sources import Shelf, a_spec
from tests.support.serving.stage import Stage, a_stage

NewDesk = Callable[..., Desk]


def use(desk: Desk, entry: ModelEntry, keep_alive_s: KeepAliveSeconds | None = None) -> None:
    """Run one request from its arrival to its end."""
    ticket = desk.arrive(entry, keep_alive_s=keep_alive_s)
    desk.decide()
    assert runs(ticket)
    desk.leave(entry, ticket)


def test_a_model_leaves_when_nobody_has_used_it_for_its_time(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.resident("a", max_idle_s=60)
    desk.clock.now_s += 40
    use(desk, a)
    ends_s = residence_of(a).last_used_s + 60

    desk.clock.now_s = ends_s - 0.01
    asked = desk.decide()
    assert (asked.closes, asked.wake_s) == ([], ends_s)
    desk.clock.now_s = ends_s
    assert desk.decide().closes == [a]
    assert reason_of(a) is EvictionReason.IDLE
    desk.gone(a)
    assert desk.decide().wake_s == math.inf


def test_without_a_time_a_model_stays_for_ever(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.resident("a")

    assert desk.decide().wake_s == math.inf
    assert desk.decide(after_s=1e9).closes == []
    assert state_of(a) is InstanceState.READY


def test_every_use_puts_the_end_off(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.resident("a", max_idle_s=60)
    for _ in range(5):
        desk.decide(after_s=50)
        use(desk, a)

    assert state_of(a) is InstanceState.READY
    assert desk.decide(after_s=61).closes == [a]


def test_a_model_that_works_does_not_expire_and_its_time_begins_at_the_end(
    new_desk: NewDesk,
) -> None:
    desk = new_desk()
    a = desk.resident("a", max_idle_s=60)
    ticket = desk.request(a)

    assert desk.decide(after_s=1000).closes == []
    assert desk.leave(a, ticket).closes == []
    assert desk.decide(after_s=59).closes == []
    assert desk.decide(after_s=1).closes == [a]


def test_a_model_that_loads_does_not_expire_and_its_time_begins_when_it_is_loaded(
    new_desk: NewDesk,
) -> None:
    desk = new_desk()
    a = desk.entry("a", max_idle_s=60)
    desk.leave(a, desk.request(a))

    desk.decide(after_s=1000)
    assert state_of(a) is InstanceState.LOADING
    assert desk.loaded(a).wake_s == desk.clock.now_s + 60
    assert desk.decide(after_s=60).closes == [a]


def test_a_model_that_is_waited_for_does_not_expire(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.resident("a", max_idle_s=60)
    desk.clock.now_s += 60

    ticket = desk.request(a)

    assert runs(ticket)
    assert state_of(a) is InstanceState.READY


def test_a_pinned_model_does_not_expire_until_it_is_unpinned(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.resident("a", max_idle_s=60)
    a.pinned = True

    assert desk.decide(after_s=1000).closes == []
    assert desk.decide().wake_s == math.inf
    a.pinned = False
    assert desk.decide().closes == [a]


def test_each_model_leaves_at_its_own_time(new_desk: NewDesk) -> None:
    desk = new_desk()
    late, soon = desk.resident("late", max_idle_s=90), desk.resident("soon", max_idle_s=30)

    assert desk.decide(after_s=31).closes == [soon]
    assert state_of(late) is InstanceState.READY
    assert desk.decide(after_s=60).closes == [late]


def test_minimum_residence_holds_up_no_expiry(new_desk: NewDesk) -> None:
    desk = new_desk(min_residence_s=1000)
    a = desk.resident("a", max_idle_s=1)

    assert desk.decide(after_s=1).closes == [a]


def test_a_request_says_how_long_its_model_stays_and_the_next_one_may_say_otherwise(
    new_desk: NewDesk,
) -> None:
    desk = new_desk()
    a = desk.resident("a", max_idle_s=60)

    use(desk, a, keep_alive_s=600)
    assert desk.decide(after_s=599).closes == []
    use(desk, a)
    assert desk.decide(after_s=599).closes == [], "it said nothing, so what was said before counts"
    use(desk, a, keep_alive_s="forever")
    assert desk.decide(after_s=1e9).closes == []
    use(desk, a, keep_alive_s=5)
    assert desk.decide(after_s=5).closes == [a]


def test_a_shorter_time_than_before_counts_at_once(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.resident("a", max_idle_s=3600)
    assert desk.decide().wake_s == residence_of(a).ready_s + 3600

    use(desk, a, keep_alive_s=2)

    assert desk.decide().wake_s == residence_of(a).last_used_s + 2


def test_a_model_that_is_kept_for_no_time_leaves_with_its_last_request(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.resident("a", slots=2)
    first = desk.arrive(a, keep_alive_s=0)
    second = desk.request(a)
    third = desk.request(a)

    assert desk.leave(a, first).closes == []
    assert desk.leave(a, second).closes == [], "one still waited, and runs now"
    assert desk.leave(a, third).closes == [a]


def test_what_a_request_said_is_forgotten_with_the_life_of_its_model(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.resident("a")
    use(desk, a, keep_alive_s=0)
    desk.gone(a)

    desk.arrive(a, needs_slot=False)
    desk.decide()

    assert desk.loaded(a).closes == [], "a load that was asked for would be in vain"
    assert state_of(a) is InstanceState.READY


def test_who_was_never_let_in_has_said_nothing(new_desk: NewDesk) -> None:
    desk = new_desk()
    a, running = desk.busy("a")
    gives_up = desk.arrive(a, keep_alive_s=0)
    desk.decide()
    desk.leave(a, gives_up)

    assert desk.leave(a, running).closes == []


def test_who_comes_while_an_expired_model_closes_waits_for_the_next_load(
    new_desk: NewDesk,
) -> None:
    desk = new_desk()
    a = desk.resident("a", max_idle_s=60)
    desk.decide(after_s=60)
    assert is_closing(a)

    ticket = desk.request(a)

    assert not runs(ticket)
    assert desk.gone(a).loads == [a]


def test_a_load_counts_on_a_model_that_expires_and_sends_nobody_else_away(
    new_desk: NewDesk,
) -> None:
    """The policy would choose the other one: it was used before."""
    desk = new_desk(budget_mb=200)
    other = desk.resident("other")
    a = desk.resident("a")
    working = desk.arrive(a, keep_alive_s=0)
    desk.decide()
    b = desk.entry("b")
    desk.arrive(b)

    closes = desk.leave(a, working).closes

    assert closes == [a]
    assert (reason_of(a), owner_of(a)) == (EvictionReason.IDLE, "b")
    assert drained(other) == []
    assert desk.gone(a).loads == [b]


def test_a_model_that_has_grown_counts_on_one_that_expires(new_desk: NewDesk) -> None:
    desk = new_desk(budget_mb=300)
    other, a = desk.resident("other"), desk.resident("a", max_idle_s=60)
    grown = desk.entry("grown")
    desk.request(grown)
    desk.clock.now_s += 60

    assert desk.loaded(grown, held_mb=150).closes == [a]

    assert (reason_of(a), owner_of(a)) == (EvictionReason.IDLE, "grown")
    assert drained(other) == []


def test_a_dead_model_leaves_for_its_death(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.resident("a", max_idle_s=60)
    engine_of(a).die()

    desk.decide(after_s=60)

    assert reason_of(a) is EvictionReason.WORKER_EXITED


def test_the_status_says_in_how_long_a_model_expires(new_desk: NewDesk) -> None:
    desk = new_desk()
    a = desk.resident("a", max_idle_s=60)

    def said() -> float | None:
        return a.status(desk.clock.now_s).expires_in_s

    assert said() == pytest.approx(60)
    desk.clock.now_s += 20
    assert said() == pytest.approx(40)
    ticket = desk.request(a)
    desk.clock.now_s += 20
    assert said() == pytest.approx(60), "from now on, while it works"
    desk.leave(a, ticket)
    desk.clock.now_s += 70
    assert said() == 0, "its end is due, and nobody has decided yet"
    a.pinned = True
    assert said() is None
    a.pinned = False
    desk.decide()
    assert said() is None, "it leaves already"


async def a_model_for_a_minute(stage: Stage) -> ModelEntry:
    entry, _engine = await stage.resident("a", max_idle_s=60)
    return entry


def test_the_pool_wakes_by_itself_and_tells_why() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = await a_model_for_a_minute(stage)
            loaded_s = now_s()
            await asyncio.sleep(59)
            assert state_of(entry) is InstanceState.READY
            await asyncio.sleep(1.1)
            (evicted,) = stage.seen(ModelEvicted)
            assert (evicted.model, evicted.reason) == ("a", EvictionReason.IDLE)
            assert entry.instances == []
            assert stage.scheduler.ledger.held_bytes == 0
            assert now_s() - loaded_s < 60.2

    run_virtually(main())


def test_the_pool_wakes_for_one_model_after_the_other() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            begins_s = now_s()
            for number in range(1, 6):
                await stage.resident(f"m{number}", max_idle_s=60 * number)
            for number in range(1, 6):
                await asyncio.sleep(begins_s + 60 * number + 1 - now_s())
                left = [evicted.model for evicted in stage.seen(ModelEvicted)]
                assert left == [f"m{each}" for each in range(1, number + 1)]

    run_virtually(main())


def test_a_model_in_use_all_day_stays_and_a_minute_later_it_goes() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry = await a_model_for_a_minute(stage)
            for _ in range(1000):
                client = await stage.client(entry)
                await asyncio.sleep(40)
                await client.leave()
                await asyncio.sleep(45)
            assert stage.backend.started == ["a"]
            await asyncio.sleep(16)
            assert entry.instances == []

    run_virtually(main())


def test_bytes_of_an_expired_model_stay_reserved_until_its_worker_has_exited() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            entry, engine = await stage.resident("a", max_idle_s=60)
            engine.may_close.clear()
            await asyncio.sleep(61)
            assert is_closing(entry)
            assert stage.scheduler.ledger.held_bytes > 0
            engine.may_close.set()
            await settle()
            assert stage.scheduler.ledger.held_bytes == 0

    run_virtually(main())


def test_a_request_of_the_service_may_keep_its_model_for_no_time() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), max_idle_s=1e6) as counter:
            await counter.ask("hi")
            (instance,) = (await counter.service.status()).instances
            assert instance.expires_in_s == pytest.approx(1e6, rel=1e-3)
            await counter.ask("hi", keep_alive_s=0)
            await until(lambda: counter.notebook.of(ModelEvicted))
            assert [each.reason for each in counter.notebook.of(ModelEvicted)] == [
                EvictionReason.IDLE
            ]
            assert (await counter.service.status()).evictions_total == 1

    asyncio.run(main())


def test_a_models_own_time_goes_before_that_of_all() -> None:
    async def main() -> None:
        options = {"b": {"max_idle_s": 30}, "c": {"max_idle_s": 0}}
        shelf = Shelf(*map(a_spec, "abc"))
        async with a_counter(shelf, max_idle_s=600, models=options) as counter:
            for model in "abc":
                await counter.ask("hi", model)
            said = [each.expires_in_s for each in (await counter.service.status()).instances]
            assert said == [pytest.approx(600, rel=0.1), pytest.approx(30, rel=0.1), None]

    asyncio.run(main())


def test_a_new_version_of_a_file_has_the_time_of_its_own_options(new_desk: NewDesk) -> None:
    desk = new_desk()
    entry = desk.entry("a", max_idle_s=60)

    entry.renew(an_entry(desk.backend, "a", max_idle_s=5))

    desk.arrive(entry, needs_slot=False)
    desk.decide()
    desk.loaded(entry)
    assert desk.decide(after_s=5).closes == [entry]


def test_a_load_says_how_long_its_model_stays() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            (model,) = [spec.id for spec in await counter.service.models()][:1]
            await counter.service.load(model, keep_alive_s=1e6)
            (instance,) = (await counter.service.status()).instances
            assert instance.expires_in_s == pytest.approx(1e6, rel=1e-3)

    asyncio.run(main())


def test_by_default_a_model_of_the_service_does_not_expire() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            await counter.ask("hi")
            (instance,) = (await counter.service.status()).instances
            assert (instance.state, instance.expires_in_s) == (InstanceState.READY, None)

    asyncio.run(main())
