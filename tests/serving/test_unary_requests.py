# SPDX-License-Identifier: GPL-3.0-only
"""Unary requests to the service: as requests for text, with one response."""

import asyncio

import pytest

from modeld.errors import (
    InternalError,
    InvalidRequestError,
    ModeldError,
    ModelNotFoundError,
    NotSupportedError,
    WorkerCrashedError,
)
from modeld.events import RequestFinished, RequestRefused, RequestStarted
from modeld.requests import (
    AnyUnaryRequest,
    EmbedRequest,
    GenerateRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.responses import TokenizeResponse
from modeld.status import InstanceState
from tests.support.serving.counter import Counter, a_counter, a_shelf, until, until_running

ONE_TWO = TokenizeResponse(ids=(0, 1))


def tokenize(text: str, model: str = "a") -> TokenizeRequest:
    return TokenizeRequest(text=text, model=model, request_id="r7")


def asking(counter: Counter, text: str) -> "asyncio.Task[object]":
    return asyncio.create_task(counter.service.submit(tokenize(text)))


def test_a_unary_request_loads_its_model_and_gets_a_response() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), default_model="b") as counter:
            assert await counter.service.submit(tokenize("one two")) == ONE_TWO
            assert await counter.service.submit(tokenize("one two", model="")) == ONE_TWO
            assert [spec.id for spec in counter.backend.loaded] == ["a", "b"]
            (instance, _) = (await counter.service.status()).instances
            assert instance.last_used_unix > 0
            assert (instance.queue_len, instance.inflight) == (0, 0)

    asyncio.run(main())


def test_a_unary_request_is_told_from_start_to_end() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            await counter.service.submit(
                RerankRequest(query="q", documents=("d",), model="a", request_id="r7")
            )
            (started,) = counter.notebook.of(RequestStarted)
            (finished,) = counter.notebook.of(RequestFinished)
            assert (started.request_id, started.model) == ("r7", "a")
            assert (finished.request_id, finished.model) == ("r7", "a")
            assert (finished.outcome, finished.prompt_tokens) == ("answered", 7)
            assert finished.first_token_s is None
            assert counter.notebook.of(RequestRefused) == []

    asyncio.run(main())


def test_a_kind_that_the_engine_does_not_serve_is_not_supported() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            with pytest.raises(NotSupportedError, match="does not serve embed requests"):
                await counter.service.submit(EmbedRequest(inputs=("hi",), model="a"))
            (finished,) = counter.notebook.of(RequestFinished)
            assert finished.outcome == "not_supported"
            assert counter.state("a") is InstanceState.READY

    asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "error", "outcome"),
    [
        ("REFUSE", InvalidRequestError, "invalid_request"),
        ("CRASH", WorkerCrashedError, "worker_crashed"),
        ("BUG", InternalError, "internal_error"),
    ],
)
def test_a_unary_request_that_fails_is_counted_with_its_error(
    text: str, error: type[Exception], outcome: str
) -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            with pytest.raises(error):
                await counter.service.submit(tokenize(text))
            assert [event.outcome for event in counter.notebook.of(RequestFinished)] == [outcome]
            assert await counter.service.submit(tokenize("one two")) == ONE_TWO

    asyncio.run(main())


def test_rule_13_a_unary_request_to_an_unknown_model_is_refused() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), default_model="b") as counter:
            with pytest.raises(ModelNotFoundError):
                await counter.service.submit(tokenize("hi", model="drop table"))
            (refused,) = counter.notebook.of(RequestRefused)
            assert refused == RequestRefused(
                request_id="r7", model="", reason="model_not_found", seconds=refused.seconds
            )
            assert counter.backend.loaded == []

    asyncio.run(main())


def test_unary_requests_and_generations_share_the_slots_and_the_queue() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), max_queue_depth=1, max_wait_s=60.0) as counter:
            running = asking(counter, "WAIT one two")
            await until_running(counter)
            waiting = counter.asking("hi")
            await until(lambda: counter.queue("a").waiting)
            with pytest.raises(ModeldError) as caught:
                await counter.service.submit(tokenize("hi"))
            assert caught.value.code == "queue_full"
            counter.backend.engines[0].may_go_on.set()
            assert await running == ONE_TWO
            await waiting

    asyncio.run(main())


def test_a_unary_request_waits_no_longer_than_allowed() -> None:
    async def main() -> None:
        async with a_counter(a_shelf(), max_wait_s=0.01) as counter:
            await counter.service.load("a")
            running = asking(counter, "WAIT")
            await until_running(counter)
            with pytest.raises(ModeldError) as caught:
                await counter.service.submit(tokenize("hi"))
            assert caught.value.code == "wait_timeout"
            counter.backend.engines[0].may_go_on.set()
            await running

    asyncio.run(main())


@pytest.mark.parametrize("stage", ["queued", "loading", "running"])
def test_rule_11_a_cancelled_unary_request_leaves_nothing_behind(stage: str) -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            if stage == "loading":
                counter.backend.may_load.clear()
            tasks = [asking(counter, "WAIT")]
            if stage == "loading":
                await until(lambda: counter.backend.loaded)
            else:
                await until_running(counter)
            if stage == "queued":
                tasks.insert(0, asking(counter, "hi"))
                await until(lambda: counter.queue("a").waiting)
            for task in tasks:
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled()
            (instance,) = (await counter.service.status()).instances
            assert (instance.queue_len, instance.inflight) == (0, 0)
            refused = [event.reason for event in counter.notebook.of(RequestRefused)]
            finished = [event.outcome for event in counter.notebook.of(RequestFinished)]
            assert refused == ["cancelled"] * (stage != "running")
            assert finished == ["cancelled"] * (stage != "loading")
            counter.backend.may_load.set()
            assert await counter.service.submit(tokenize("one two")) == ONE_TWO

    asyncio.run(main())


@pytest.mark.parametrize(
    ("work", "counts"),
    [
        (tokenize("one two"), False),
        (RerankRequest(query="q", documents=("d",), model="a"), True),
        (GenerateRequest(prompt="one", model="a"), True),
    ],
)
def test_only_what_the_model_computes_goes_into_the_forecast(
    work: AnyUnaryRequest | GenerateRequest, *, counts: bool
) -> None:
    """A thousand texts cut into tokens say nothing of how long a response takes."""

    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            await counter.service.load("a")
            before_s = counter.queue("a").mean_s
            if isinstance(work, GenerateRequest):
                async for _chunk in counter.service.generate(work):
                    pass
            else:
                await counter.service.submit(work)
            assert (counter.queue("a").mean_s != before_s) is counts

    asyncio.run(main())
