# SPDX-License-Identifier: GPL-3.0-only
"""The verbs that the outside may use."""

import asyncio
import logging
from contextlib import aclosing
from pathlib import Path

import pytest

from modeld import Done, FinishReason, GenerateRequest, ModelSpec, Token, Usage
from modeld.errors import (
    BackendUnavailableError,
    BudgetExceededError,
    InternalError,
    InvalidModelError,
    InvalidRequestError,
    LoadFailedError,
    ModeldError,
    ModelExceedsBudgetError,
    ModelNotFoundError,
    WorkerCrashedError,
)
from modeld.events import ModelEvicted, RequestFinished, RequestRefused, RequestStarted
from modeld.machine.files import Machine
from modeld.requests import TokenizeRequest
from modeld.serving.models.registry import RESCAN_INTERVAL_S
from modeld.status import EvictionReason, InstanceState, ServiceState
from tests.support.serving.counter import a_counter, a_shelf, until, until_running
from tests.support.serving.desk import residence_of
from tests.support.serving.sources import Files, Shelf, a_spec


def test_a_generation_is_tokens_and_last_the_whole() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            *tokens, done = await counter.ask("one two")
            assert tokens == [Token(text="one"), Token(text="two")]
            assert isinstance(done, Done)
            load_s = residence_of(counter.service._scheduler.entries["a"]).load_seconds
            assert done == Done(
                finish_reason=FinishReason.STOP,
                usage=Usage(prompt_tokens=1, completion_tokens=2, load_s=load_s),
                content="onetwo",
            )
            *_, again = await counter.ask("one two")
            assert isinstance(again, Done)
            assert again.usage.load_s == 0

    asyncio.run(main())


def test_a_request_without_a_model_gets_the_default_one() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), default_model="b") as counter:
            await counter.ask("hi", model="")
            assert [spec.id for spec in counter.backend.loaded] == ["b"]

    asyncio.run(main())


def test_rule_13_an_unknown_model_is_not_found_and_there_is_never_a_silent_default() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), default_model="b") as counter:
            for name in ("a.b", "a ", "aa", "../a", "b/"):
                with pytest.raises(ModelNotFoundError):
                    await counter.ask("hi", model=name)
                with pytest.raises(ModelNotFoundError):
                    await counter.service.load(name)
                with pytest.raises(ModelNotFoundError):
                    await counter.service.unload(name)
                with pytest.raises(ModelNotFoundError):
                    await counter.service.ready(name)
            assert counter.backend.loaded == []
        async with a_counter(a_shelf()) as counter:
            with pytest.raises(ModelNotFoundError, match="no default_model"):
                await counter.ask("hi", model="")

    asyncio.run(main())


def test_the_only_usable_model_answers_requests_that_name_none() -> None:
    async def main() -> None:
        shelf = Shelf(a_spec("a"), a_spec("bad", problem="it is empty"))
        async with a_counter(shelf) as counter:
            await counter.ask("hi", model="")
            await counter.service.submit(TokenizeRequest(text="one two"))
            await counter.service.load("")
            assert await counter.service.default_model() == "a"
            assert [spec.id for spec in counter.backend.loaded] == ["a"]
            ended = counter.notebook.of(RequestFinished)
            assert {event.model for event in ended} == {"a"}
            shelf.specs.append(a_spec("b"))
            await counter.service.refresh()
            assert await counter.service.default_model() == ""
            with pytest.raises(ModelNotFoundError, match=r"2 models can be used: 'a', 'b'$"):
                await counter.ask("hi", model="")

    asyncio.run(main())


FOUR_USABLE = (
    "there is no default_model in the settings, and 4 models can be used: 'a', 'b', 'c' and 1 more"
)


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ([], "no model was found"),
        ([a_spec("x", problem="it is empty")], "none of the 1 found can be used"),
        ([a_spec(name) for name in "dcba"], FOUR_USABLE),
    ],
)
def test_an_error_says_what_there_is_to_choose_from(models: list[ModelSpec], says: str) -> None:
    async def main() -> None:
        async with a_counter(Shelf(*models)) as counter:
            with pytest.raises(ModelNotFoundError) as caught:
                await counter.ask("hi", model="")
            assert caught.value.message == f"the request names no model; {says}"

    asyncio.run(main())


def test_a_wrong_default_model_is_named_with_the_nearest_one() -> None:
    async def main() -> None:
        async with a_counter(Shelf(a_spec("tiny")), default_model="tinny") as counter:
            with pytest.raises(ModelNotFoundError) as caught:
                await counter.ask("hi", model="")
            assert caught.value.message == (
                "the request names no model, and for default_model there is no model 'tinny';"
                " did you mean 'tiny'?"
            )

    asyncio.run(main())


def test_a_first_model_is_found_when_a_request_that_names_none_comes() -> None:
    async def main() -> None:
        shelf = Shelf()
        async with a_counter(shelf) as counter:
            shelf.specs.append(a_spec("a"))
            counter.service._registry._scanned_s -= RESCAN_INTERVAL_S
            await counter.ask("hi", model="")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("model", "error"), [("bad", InvalidModelError), ("x", BackendUnavailableError)]
)
def test_a_model_that_cannot_be_used_says_why(model: str, error: type[ModeldError]) -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            with pytest.raises(error):
                await counter.ask("hi", model=model)
            assert counter.notebook.of(RequestRefused)[0].reason == error.code

    asyncio.run(main())


def test_a_request_is_told_from_start_to_end() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            await counter.ask("one two", request_id="r7")
            (started,) = counter.notebook.of(RequestStarted)
            (finished,) = counter.notebook.of(RequestFinished)
            assert (started.request_id, started.model) == ("r7", "a")
            assert started.queue_wait_s >= 0
            assert (finished.request_id, finished.model, finished.outcome) == ("r7", "a", "stop")
            assert (finished.prompt_tokens, finished.completion_tokens) == (1, 2)
            assert counter.notebook.of(RequestRefused) == []

    asyncio.run(main())


def test_what_clients_send_as_a_model_becomes_no_label() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            with pytest.raises(ModelNotFoundError):
                await counter.ask("hi", model="drop table", request_id="r7")
            (refused,) = counter.notebook.of(RequestRefused)
            assert refused == RequestRefused(
                request_id="r7", model="", reason="model_not_found", seconds=refused.seconds
            )

    asyncio.run(main())


def test_a_refused_request_is_counted_for_its_model() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), max_queue_depth=0) as counter:
            running = counter.asking("WAIT")
            await until_running(counter)
            with pytest.raises(ModeldError):
                await counter.ask("hi")
            counter.backend.engines[0].may_go_on.set()
            await running
            (refused,) = counter.notebook.of(RequestRefused)
            assert refused == RequestRefused(
                request_id="r", model="a", reason="queue_full", seconds=refused.seconds
            )

    asyncio.run(main())


@pytest.mark.parametrize(
    ("prompt", "error", "outcome"),
    [
        ("REFUSE", InvalidRequestError, "invalid_request"),
        ("one REFUSE", InvalidRequestError, "invalid_request"),
        ("one CRASH", WorkerCrashedError, "worker_crashed"),
        ("one BUG", InternalError, "internal_error"),
    ],
)
def test_a_request_that_fails_is_counted_with_its_error(
    prompt: str, error: type[Exception], outcome: str
) -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            with pytest.raises(error):
                await counter.ask(prompt)
            assert [event.outcome for event in counter.notebook.of(RequestFinished)] == [outcome]
            assert counter.notebook.of(RequestRefused) == []
            await counter.ask("it goes on")

    asyncio.run(main())


def test_rule_11_leaving_early_stops_the_engine_and_gives_the_slot_back() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            request = GenerateRequest(model="a", prompt="one WAIT three")
            async with aclosing(counter.service.generate(request)) as chunks:
                assert await anext(chunks) == Token(text="one")
                assert counter.backend.engines[0].running == 1
            assert counter.backend.engines[0].running == 0
            (finished,) = counter.notebook.of(RequestFinished)
            assert (finished.outcome, finished.completion_tokens) == ("cancelled", 1)
            await counter.ask("the slot is free")

    asyncio.run(main())


@pytest.mark.parametrize("stage", ["queued", "loading", "running"])
def test_rule_11_a_cancelled_request_leaves_nothing_behind(stage: str) -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            if stage == "loading":
                counter.backend.may_load.clear()
            asking = [counter.asking("WAIT")]
            if stage == "loading":
                await until(lambda: counter.backend.loaded)
            else:
                await until_running(counter)
            if stage == "queued":
                asking.insert(0, counter.asking("hi"))
                await until(lambda: counter.queue("a").waiting)
            for task in asking:
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled()
            (instance,) = (await counter.service.status()).instances
            assert (instance.queue_len, instance.inflight) == (0, 0)
            refused = [(event.model, event.reason) for event in counter.notebook.of(RequestRefused)]
            assert refused == [("a", "cancelled")] * (stage != "running")
            finished = [event.outcome for event in counter.notebook.of(RequestFinished)]
            assert finished == ["cancelled"] * (stage != "loading")
            counter.backend.may_load.set()
            await counter.ask("it goes on")
            assert len(counter.backend.loaded) == 1

    asyncio.run(main())


def test_rule_8_reads_load_nothing_and_are_no_use() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            service = counter.service

            async def read_all() -> None:
                await service.status()
                await service.models()
                await service.plugins()
                await service.ready()
                await service.ready("a")
                await service.refresh()

            await read_all()
            assert counter.backend.loaded == []
            assert (await service.status()).instances == ()

            await counter.ask("hi")
            entry = counter.service._scheduler.entries["a"]
            used = (residence_of(entry).last_used_s, entry.last_used_unix)
            entry.last_used_unix = 7
            await read_all()
            assert residence_of(entry).last_used_s == used[0]
            assert entry.last_used_unix == 7
            assert len(counter.backend.loaded) == 1

    asyncio.run(main())


def test_load_and_unload_by_name() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            await counter.service.load("a")
            assert await counter.states() == {"a": "ready"}
            await counter.service.load("a")
            assert len(counter.backend.loaded) == 1
            await counter.service.unload("a")
            assert await counter.states() == {}
            await counter.service.unload("a")
            await counter.service.unload("b")
            assert [event.reason for event in counter.notebook.of(ModelEvicted)] == [
                EvictionReason.UNLOAD_REQUESTED
            ]

    asyncio.run(main())


def test_a_model_is_pinned_before_it_is_loaded_and_stays_when_another_needs_room() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), memory_budget_mb=150) as counter:
            await counter.service.pin("a", pinned=True)
            assert await counter.states() == {"a": "absent"}
            await counter.ask("hi", model="a")
            with pytest.raises(BudgetExceededError, match="unpin one of them"):
                await counter.ask("hi", model="b")
            await counter.service.pin("a", pinned=False)
            await counter.ask("hi", model="b")
            assert await counter.states() == {"b": "ready"}

    asyncio.run(main())


@pytest.mark.parametrize("pinned", [True, False])
def test_an_unknown_model_is_not_pinned(pinned: bool) -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            with pytest.raises(ModelNotFoundError):
                await counter.service.pin("nobody", pinned=pinned)
            await counter.service.pin("a", pinned=False)
            assert await counter.states() == {}

    asyncio.run(main())


def test_a_load_by_name_takes_no_slot() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            running = counter.asking("WAIT")
            await until_running(counter)
            await counter.service.load("a")
            counter.backend.engines[0].may_go_on.set()
            await running

    asyncio.run(main())


def test_the_status_adds_up() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), memory_budget_mb=150, memory_margin_mb=10) as counter:
            await counter.ask("hi", model="a")
            await counter.ask("hi", model="b")
            status = await counter.service.status()
            assert status.state is ServiceState.RUNNING
            assert (status.budget_bytes, status.margin_bytes) == (150 << 20, 10 << 20)
            assert status.held_bytes == 100 << 20
            assert (status.loads_total, status.evictions_total) == (2, 1)
            assert (status.prompt_tokens_total, status.completion_tokens_total) == (2, 2)
            assert status.uptime_s > 0
            assert status.error is None
            assert await counter.states() == {"b": "ready"}
            assert all(instance.last_used_unix > 0 for instance in status.instances)

    asyncio.run(main())


def test_the_margin_is_kept_free() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), memory_budget_mb=109, memory_margin_mb=10) as counter:
            with pytest.raises(ModeldError) as caught:
                await counter.ask("hi")
            assert caught.value.code == "model_exceeds_budget"

    asyncio.run(main())


def test_slots_are_set_per_model() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), models={"a": {"slots": 3}}) as counter:
            asking = [counter.asking("WAIT") for _ in range(4)]
            await until_running(counter, count=3)
            await until(lambda: counter.queue("a").waiting)
            (instance,) = (await counter.service.status()).instances
            assert (instance.slots, instance.inflight, instance.queue_len) == (3, 3, 1)
            counter.backend.engines[0].may_go_on.set()
            await asyncio.gather(*asking)

    asyncio.run(main())


def test_a_changed_file_is_loaded_anew_and_the_old_one_serves_out_what_it_runs(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        (tmp_path / "a").write_bytes(b"one")
        async with a_counter(Files(tmp_path)) as counter:
            running = counter.asking("WAIT old")
            await until_running(counter)
            (tmp_path / "a").write_bytes(b"three")
            fresh = counter.asking("new")
            await until(lambda: counter.state("a") is InstanceState.DRAINING)
            assert not fresh.done()
            counter.backend.engines[0].may_go_on.set()
            assert Token(text="old") in await running
            assert Token(text="new") in await fresh
            assert [spec.size_bytes for spec in counter.backend.loaded] == [3, 5]
            assert counter.backend.engines[0].closed
            (evicted,) = counter.notebook.of(ModelEvicted)
            assert evicted.reason is EvictionReason.FILE_CHANGED

    asyncio.run(main())


def test_a_file_that_changes_while_it_is_loaded_is_loaded_again(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "a").write_bytes(b"one")
        async with a_counter(Files(tmp_path)) as counter:
            counter.backend.may_load.clear()
            first = counter.asking("hi")
            await until(lambda: counter.backend.loaded)
            (tmp_path / "a").write_bytes(b"three")
            second = counter.asking("hi")
            await until(lambda: counter.state("a") is InstanceState.DRAINING)
            counter.backend.may_load.set()
            await asyncio.gather(first, second)
            assert [spec.size_bytes for spec in counter.backend.loaded] == [3, 5]

    asyncio.run(main())


def test_the_failed_load_of_a_file_that_has_changed_since_hurts_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "a").write_bytes(b"half")
        async with a_counter(Files(tmp_path)) as counter:
            counter.backend.may_load.clear()
            counter.backend.load_errors = [ValueError("the file is cut")]
            first = counter.asking("hi")
            await until(lambda: counter.backend.loaded)
            (tmp_path / "a").write_bytes(b"whole file")
            second = counter.asking("hi")
            await until(lambda: counter.state("a") is InstanceState.DRAINING)
            counter.backend.may_load.set()
            await asyncio.gather(first, second)
            assert [spec.size_bytes for spec in counter.backend.loaded] == [4, 10]
            assert counter.state("a") is InstanceState.READY

    asyncio.run(main())


def test_a_backend_that_cannot_estimate_a_model_cannot_load_it() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            counter.backend.estimate_error = KeyError("block_count")
            with pytest.raises(LoadFailedError, match="'speaker': estimate raised KeyError"):
                await counter.ask("hi")
            assert [event.reason for event in counter.notebook.of(RequestRefused)] == [
                "load_failed"
            ]
            counter.backend.estimate_error = None
            await counter.ask("hi")

    asyncio.run(main())


def test_a_file_that_is_gone_is_not_found_and_what_is_loaded_can_be_unloaded(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        (tmp_path / "a").write_bytes(b"one")
        async with a_counter(Files(tmp_path)) as counter:
            await counter.ask("hi")
            (tmp_path / "a").unlink()
            with pytest.raises(ModelNotFoundError):
                await counter.ask("hi")
            await counter.service.unload("a")
            assert (await counter.service.status()).held_bytes == 0

    asyncio.run(main())


def another_machine(root: Path, **files: str) -> Machine:
    (root / "proc").mkdir()
    for name, text in files.items():
        (root / "proc" / name).write_text(text)
    return Machine(root=root)


@pytest.mark.parametrize("budget_mb", [0, 150, 1000])
def test_what_the_machine_cannot_hold_is_refused_before_anyone_is_evicted(
    budget_mb: int, tmp_path: Path
) -> None:
    """Whatever the budget says: a load of more than there is takes the whole machine down."""

    async def main() -> None:
        small = another_machine(tmp_path, meminfo="MemTotal: 122880 kB\n")
        async with a_counter(a_shelf(), machine=small, memory_budget_mb=budget_mb) as counter:
            await counter.ask("hi", model="a")
            counter.backend.estimate_mb = 140
            for attempt in (counter.ask("hi", model="b"), counter.service.load("b")):
                with pytest.raises(ModelExceedsBudgetError) as caught:
                    await attempt
                assert caught.value.message == (
                    "model 'b' needs 140 MiB, and this machine has 120 MiB of main memory;"
                    " lower the model's context, or take a smaller quantisation"
                )
            assert await counter.states() == {"a": "ready"}
            assert [spec.id for spec in counter.backend.loaded] == ["a"]

    asyncio.run(main())


def test_two_models_that_the_machine_can_hold_are_loaded_without_a_budget(tmp_path: Path) -> None:
    async def main() -> None:
        small = another_machine(tmp_path, meminfo="MemTotal: 122880 kB\n")
        async with a_counter(a_shelf(), machine=small, memory_budget_mb=0) as counter:
            await counter.ask("hi", model="a")
            await counter.ask("hi", model="b")
            assert await counter.states() == {"a": "ready", "b": "ready"}

    asyncio.run(main())


def test_an_estimate_that_is_too_large_is_measured_before_it_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        small = another_machine(tmp_path, meminfo="MemTotal: 122880 kB\n")
        async with a_counter(a_shelf(), machine=small, memory_budget_mb=0) as counter:
            counter.backend.estimate_mb, counter.backend.measured_mb = 140, 110
            await counter.ask("hi", model="b")

    asyncio.run(main())


def test_where_the_memory_is_not_known_nothing_is_refused_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), machine=another_machine(tmp_path)) as counter:
            counter.backend.estimate_mb = 1 << 30
            await counter.ask("hi", model="b")

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    assert "the system does not tell how much memory there is" in caplog.text
