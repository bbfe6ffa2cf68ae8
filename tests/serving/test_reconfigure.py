# SPDX-License-Identifier: GPL-3.0-only
"""A service that goes on with other settings: only what differs is touched, nobody is lost."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from msgspec.structs import replace

from modeld import MemoryEstimate, ModelSpec, Options, Token
from modeld.errors import (
    ConfigurationError,
    LoadFailedError,
    ModelNotFoundError,
    QueueFullError,
)
from modeld.events import ModelEvicted
from modeld.status import EvictionReason, InstanceState
from tests.support.serving.counter import Counter, a_counter, a_shelf, until, until_running


async def reconfigure(counter: Counter, **members: Any) -> None:
    counter.settings = replace(counter.settings, **members)
    await counter.service.reconfigure(counter.settings)


def test_a_model_with_other_options_serves_out_what_it_runs_and_is_loaded_anew() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), models={"a": {"slots": 1}}) as counter:
            await counter.ask("hello", "b")
            running = counter.asking("WAIT old")
            await until_running(counter)
            waiting = counter.asking("queued")
            await until(lambda: counter.queue("a").waiting)
            await reconfigure(counter, models={"a": {"slots": 3}, "*": {}})
            assert counter.state("a") is InstanceState.DRAINING
            assert not waiting.done()
            counter.backend.engines[1].may_go_on.set()
            assert Token(text="old") in await running
            assert Token(text="queued") in await waiting
            assert [spec.id for spec in counter.backend.loaded] == ["b", "a", "a"]
            assert [engine.slots for engine in counter.backend.engines[1:]] == [1, 3]
            assert not counter.backend.engines[0].closed
            (evicted,) = counter.notebook.of(ModelEvicted)
            assert (evicted.model, evicted.reason) == ("a", EvictionReason.SETTINGS_CHANGED)

    asyncio.run(main())


def test_the_same_settings_touch_nothing() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), models={"a": {"slots": 1}}) as counter:
            await counter.ask("hello")
            await reconfigure(counter, models={"*": {"slots": 1}})
            assert counter.state("a") is InstanceState.READY
            await counter.ask("hello")
            assert len(counter.backend.loaded) == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"models": {"a": {"slot": 1}}}, "did you mean 'slots'"),
        ({"models": {"a": {"backend": "none"}}}, "none"),
        ({"eviction_policy": "none"}, "no installed plugin brings 'none'"),
    ],
)
def test_settings_that_are_wrong_change_nothing(wrong: dict[str, Any], said: str) -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            await counter.ask("hello")
            before = counter.settings
            with pytest.raises(ConfigurationError, match=said):
                await reconfigure(counter, max_queue_depth=0, default_model="b", **wrong)
            assert counter.queue("a").max_depth == before.max_queue_depth
            assert await counter.service.default_model() == before.default_model
            assert counter.plugins.settings == before
            assert counter.state("a") is InstanceState.READY

    asyncio.run(main())


def test_numbers_and_names_count_at_once() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), models={"a": {"slots": 1}}) as counter:
            running = counter.asking("WAIT")
            await until_running(counter)
            await reconfigure(counter, max_queue_depth=0, default_model="b", readiness="accepting")
            with pytest.raises(QueueFullError):
                await counter.ask("too many")
            assert await counter.service.default_model() == "b"
            assert (await counter.service.ready()).reason == "accepting"
            counter.backend.engines[0].may_go_on.set()
            await running
            assert counter.state("a") is InstanceState.READY
            await reconfigure(counter, max_idle_s=1e-9)
            await until(lambda: counter.state("a") is not InstanceState.READY)
            assert counter.notebook.of(ModelEvicted)[0].reason is EvictionReason.IDLE

    asyncio.run(main())


def test_what_is_listed_of_a_model_is_what_its_options_make_of_it_now(monkeypatch) -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            monkeypatch.setattr(counter.backend, "context", lambda _spec, options: options.slots)
            await reconfigure(counter, models={"a": {"slots": 7}})
            contexts = {spec.id: spec.context for spec in await counter.service.models()}
            assert (contexts["a"], contexts["b"]) == (7, None)

    asyncio.run(main())


def test_a_request_that_came_before_gets_the_options_that_count_when_it_is_served() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), models={"a": {"slots": 1}}) as counter:
            asked, may_go_on = threading.Event(), threading.Event()
            estimate = counter.backend.estimate

            def slow(spec: ModelSpec, options: Options) -> MemoryEstimate:
                asked.set()
                if options.slots == 1:
                    may_go_on.wait(10)
                return estimate(spec, options)

            counter.backend.estimate = slow  # type: ignore[method-assign]
            early = counter.asking("early")
            await until(asked.is_set)
            await reconfigure(counter, models={"a": {"slots": 2}})
            late = counter.asking("late")
            await late
            may_go_on.set()
            assert Token(text="early") in await early
            assert [engine.slots for engine in counter.backend.engines] == [2]

    asyncio.run(main())


def test_who_waits_for_a_model_that_cannot_be_had_any_more_is_told() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), models={"a": {"slots": 1}}) as counter:
            running = counter.asking("WAIT old")
            await until_running(counter)
            waiting = counter.asking("queued")
            await until(lambda: counter.queue("a").waiting)
            counter.backend.estimate_error = LoadFailedError("not in this way")
            await reconfigure(counter, models={"a": {"slots": 2}})
            with pytest.raises(LoadFailedError, match="not in this way"):
                await waiting
            with pytest.raises(LoadFailedError, match="not in this way"):
                await counter.ask("late")
            counter.backend.engines[0].may_go_on.set()
            assert Token(text="old") in await running
            counter.backend.estimate_error = None
            await counter.ask("now")
            assert counter.backend.engines[-1].slots == 2

    asyncio.run(main())


def test_aliases_presets_and_pins_are_those_of_the_new_settings() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), memory_budget_mb=150) as counter:
            await counter.ask("hello")
            await reconfigure(
                counter,
                models={"a": {"aliases": ["first"], "pin": True}},
                presets={"exact": {"model": "a", "sampling": {"temperature": 0.0}}},
            )
            await counter.ask("hello", "first")
            await counter.ask("hello", "exact")
            (status,) = (await counter.service.status()).instances
            assert (status.model_id, status.pinned, status.loads_total) == ("a", True, 1)
            await reconfigure(counter, models={}, presets={})
            for name in ("first", "exact"):
                with pytest.raises(ModelNotFoundError):
                    await counter.ask("hello", name)
            (status,) = (await counter.service.status()).instances
            assert not status.pinned

    asyncio.run(main())


def test_what_was_made_for_a_plan_before_is_nothing_to_a_request_after() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), models={"a": {"slots": 1}}) as counter:
            has_begun, may_go_on = threading.Event(), threading.Event()
            estimate = counter.backend.estimate

            def slowly(spec: ModelSpec, options: Options) -> MemoryEstimate:
                if options.slots == 1:
                    has_begun.set()
                    may_go_on.wait(5)
                return estimate(spec, options)

            counter.backend.estimate = slowly  # type: ignore[method-assign]
            planning = asyncio.create_task(counter.service.plan("a"))
            await until(has_begun.is_set)
            await reconfigure(counter, models={"a": {"slots": 3}})
            may_go_on.set()
            await planning
            await counter.ask("hello")
            assert counter.backend.engines[0].slots == 3

    asyncio.run(main())


def test_a_shorter_time_to_be_idle_counts_for_what_is_idle_already() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            await counter.ask("hello")
            await reconfigure(counter, max_idle_s=0.01)
            await until(lambda: counter.notebook.of(ModelEvicted))
            assert counter.notebook.of(ModelEvicted)[0].reason is EvictionReason.IDLE

    asyncio.run(main())


def test_another_priority_counts_at_once_and_leaves_the_model_in_memory() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), models={"a": {"priority": 1}}) as counter:
            await counter.ask("hello")
            await reconfigure(counter, models={"a": {"priority": -5, "max_idle_s": 60}})
            (entry,) = counter.service._scheduler.entries.values()
            assert (entry.priority, entry.max_idle_s) == (-5, 60)
            status = await counter.service.status()
            assert [each.priority for each in status.instances] == [-5]
            await counter.ask("hello")
            assert len(counter.backend.loaded) == 1

    asyncio.run(main())


def test_a_policy_that_has_not_changed_stays_what_it_is() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            policy = counter.service._scheduler.policy
            await reconfigure(counter, max_idle_s=9.0)
            assert counter.service._scheduler.policy is policy

    asyncio.run(main())
