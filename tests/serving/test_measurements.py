# SPDX-License-Identifier: GPL-3.0-only
"""Models that are measured before a load, where only that says whether they fit."""

import asyncio

import pytest

from modeld.errors import InvalidModelError
from modeld.events import ModelEvicted, ModelLoaded, ModelLoadFailed
from modeld.serving.state.cooldown import FIRST_S
from modeld.serving.state.memory_need import RETRY_S
from modeld.serving.state.model_entry import ModelEntry
from modeld.testing.doubles.virtual_time import run_virtually, settle
from tests.support.serving.fakes import MIB, an_entry
from tests.support.serving.stage import Stage, a_stage


def unmeasured(stage: Stage, model: str = "a", size_mb: int = 100, depth: int = 32) -> ModelEntry:
    """Return a model that its backend can measure."""
    return stage.entry(model, size_mb, depth=depth, measurable=True)


@pytest.mark.parametrize("budget_mb", [None, 125])
def test_where_the_estimate_clearly_fits_nothing_is_measured(budget_mb: int | None) -> None:
    async def main() -> None:
        async with a_stage(budget_mb=budget_mb) as stage:
            client = await stage.client(unmeasured(stage))
            await stage.end_load("a")
            assert client.runs
            assert stage.backend.measured == []

    run_virtually(main())


@pytest.mark.parametrize("measured_mb", [60, 110])
def test_what_is_measured_is_reserved_whether_it_is_less_or_more(measured_mb: int) -> None:
    async def main() -> None:
        async with a_stage(budget_mb=124) as stage:
            client = await stage.client(unmeasured(stage))
            assert stage.backend.measured == ["a"]
            assert stage.backend.started == []
            assert stage.scheduler.ledger.held_bytes == 0
            await stage.end_measurement("a", measured_mb)
            assert stage.scheduler.ledger.held_bytes == measured_mb * MIB
            await stage.end_load("a")
            assert client.runs
            (loaded,) = stage.seen(ModelLoaded)
            assert loaded.estimated_bytes == measured_mb * MIB

    run_virtually(main())


def test_a_model_is_not_refused_by_its_estimate_before_it_is_measured() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            client = await stage.client(unmeasured(stage, size_mb=150))
            await stage.end_measurement("a", 90)
            await stage.end_load("a")
            assert client.runs

    run_virtually(main())


def test_rule_7_a_model_that_was_measured_too_large_is_refused_and_nobody_is_evicted() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=200) as stage:
            await stage.resident("b", 150)
            entry = unmeasured(stage)
            clients = [await stage.client(entry) for _ in range(3)]
            await stage.end_measurement("a", 201)
            for client in [*clients, await stage.client(entry)]:
                assert await client.outcome() == "model_exceeds_budget"
            assert stage.backend.measured == ["a"]
            assert stage.seen(ModelEvicted) == []

    run_virtually(main())


@pytest.mark.parametrize("result", [None, ValueError("no"), MemoryError()])
def test_without_a_measurement_the_estimate_stays_and_nobody_asks_again_at_once(
    result: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = unmeasured(stage)
            client = await stage.client(entry)
            await stage.end_measurement("a", result)
            assert stage.scheduler.ledger.held_bytes == 100 * MIB
            await stage.end_load("a")
            await client.leave()
            await stage.pool.unload(entry)
            await stage.client(entry)
            await stage.end_load("a")
            assert stage.backend.measured == ["a"]

    run_virtually(main())
    told = [each for each in caplog.messages if "was not measured by backend 'fake'" in each]
    assert len(told) == (result is not None)


def test_a_measurement_that_does_not_end_is_given_up_after_the_loads_timeout(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100, load_timeout_s=30) as stage:
            await stage.client(unmeasured(stage))
            await asyncio.sleep(29)
            assert stage.backend.started == []
            await asyncio.sleep(2)
            assert stage.backend.measurements == {}
            assert stage.backend.started == ["a"]

    run_virtually(main())
    assert "LoadFailedError: the measurement took longer than 30 s" in caplog.text


def test_all_who_wait_share_one_measurement_and_the_queue_counts_them() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = unmeasured(stage, depth=2)
            clients = [await stage.client(entry) for _ in range(3)]
            assert await (await stage.client(entry)).outcome() == "queue_full"
            await stage.end_measurement("a", 90)
            await stage.end_load("a")
            for client in clients:
                await client.leave()
                assert await client.outcome() == "completed"
            assert stage.backend.measured == ["a"]

    run_virtually(main())


def test_rule_5_a_measurement_holds_up_no_other_model() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=200) as stage:
            _b, _engine, busy = await stage.busy("b")
            await stage.client(unmeasured(stage))
            await busy.leave()
            again = await stage.client(stage.scheduler.entries["b"])
            assert again.runs
            other = await stage.client(stage.entry("c", 100))
            await stage.end_load("c")
            assert other.runs
            assert stage.backend.started == ["b", "c"]

    run_virtually(main())


def test_who_waits_for_a_measurement_may_wait_too_long_or_leave_and_it_is_kept() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = unmeasured(stage)
            assert await (await stage.client(entry, max_wait_s=5)).outcome() == "wait_timeout"
            await (await stage.client(entry)).give_up()
            assert stage.backend.measured == ["a"]
            await stage.end_measurement("a", 90)
            assert stage.backend.started == [], "nobody wants it any more"
            client = await stage.client(entry)
            assert stage.backend.measured == ["a"]
            assert stage.scheduler.ledger.held_bytes == 90 * MIB
            await stage.end_load("a")
            assert client.runs

    run_virtually(main())


def test_a_changed_file_is_measured_anew_and_the_old_measurement_is_nothing_to_it() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = unmeasured(stage)
            await stage.client(entry)
            old = stage.backend.measurements.pop("a")
            entry.renew(an_entry(stage.backend, "a", size_mb=95, measurable=True))
            await stage.client(entry)
            assert stage.backend.measured == ["a", "a"]
            new = stage.backend.measurements["a"]
            old.set_exception(ValueError("the file is gone"))
            await settle()
            assert stage.backend.started == []
            stage.backend.measurements["a"] = new
            await stage.end_measurement("a", 91)
            assert stage.scheduler.ledger.held_bytes == 91 * MIB
            await stage.end_load("a")

    run_virtually(main())


def test_rule_6_once_loaded_the_larger_of_measurement_and_what_is_held_counts() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = unmeasured(stage)
            client = await stage.client(entry)
            await stage.end_measurement("a", 80)
            await stage.end_load("a", held_mb=85)
            assert stage.scheduler.ledger.held_bytes == 85 * MIB
            await client.leave()
            await stage.pool.unload(entry)
            await stage.client(entry)
            assert stage.scheduler.ledger.held_bytes == 85 * MIB
            assert stage.backend.measured == ["a"]
            await stage.end_load("a")

    run_virtually(main())


def test_closing_stops_a_measurement() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            client = await stage.client(unmeasured(stage))
            await stage.pool.aclose()
            assert await client.outcome() == "draining"
            assert stage.backend.measurements == {}

    run_virtually(main())


def test_a_measurement_that_failed_in_passing_is_made_again_later() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = unmeasured(stage)
            client = await stage.client(entry)
            await stage.end_measurement("a", ValueError("no"))
            await stage.end_load("a")
            await client.leave()
            await stage.pool.unload(entry)
            await asyncio.sleep(RETRY_S)
            again = await stage.client(entry)
            assert stage.backend.measured == ["a", "a"]
            await stage.end_measurement("a", 60)
            assert stage.scheduler.ledger.held_bytes == 60 * MIB
            await stage.end_load("a")
            assert again.runs

    run_virtually(main())


def test_a_model_is_not_refused_for_good_because_one_measurement_failed() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=200) as stage:
            await stage.resident("b", 150)
            entry = unmeasured(stage, size_mb=300)
            clients = [await stage.client(entry) for _ in range(2)]
            await stage.end_measurement("a", MemoryError("killed"))
            for client in [*clients, await stage.client(entry)]:
                assert await client.outcome() == "load_failed"
            assert "MemoryError: killed" in str(entry.last_error)
            assert stage.seen(ModelEvicted) == []
            (told,) = stage.seen(ModelLoadFailed)
            assert (told.model, told.reason, told.retry_after_s) == ("a", "load_failed", FIRST_S)
            await asyncio.sleep(FIRST_S)
            client = await stage.client(entry)
            assert stage.backend.measured == ["a", "a"]
            await stage.end_measurement("a", 50)
            await stage.end_load("a")
            assert client.runs

    run_virtually(main())


def test_a_measurement_that_keeps_failing_is_made_less_and_less_often() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = unmeasured(stage, size_mb=300)
            for wait_s in (FIRST_S, 2 * FIRST_S, 4 * FIRST_S):
                client = await stage.client(entry)
                await stage.end_measurement("a", ValueError("no"))
                assert await client.outcome() == "load_failed"
                assert stage.seen(ModelLoadFailed)[-1].retry_after_s == wait_s
                await asyncio.sleep(wait_s)

    run_virtually(main())


def test_a_measurement_that_proves_the_model_unusable_is_a_failed_load_and_evicts_nobody() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=200) as stage:
            await stage.resident("b", 150)
            entry = unmeasured(stage)
            clients = [await stage.client(entry) for _ in range(2)]
            await stage.end_measurement("a", InvalidModelError("no such tensor"))
            for client in [*clients, await stage.client(entry)]:
                assert await client.outcome() == "invalid_model"
            assert "no such tensor" in str(entry.last_error)
            assert stage.backend.started == ["b"]
            assert stage.seen(ModelEvicted) == []
            assert [event.reason for event in stage.seen(ModelLoadFailed)] == ["invalid_model"]
            await asyncio.sleep(FIRST_S)
            await stage.client(entry)
            assert stage.backend.measured == ["a", "a"]

    run_virtually(main())


def test_a_measurement_of_a_file_that_has_changed_since_fails_nobody() -> None:
    async def main() -> None:
        async with a_stage(budget_mb=100) as stage:
            entry = unmeasured(stage)
            client = await stage.client(entry)
            old = stage.backend.measurements.pop("a")
            entry.renew(an_entry(stage.backend, "a", size_mb=50))
            old.set_exception(InvalidModelError("no such tensor"))
            stage.backend.measurements["a"] = old
            await settle()
            await stage.end_load("a")
            assert client.runs

    run_virtually(main())
