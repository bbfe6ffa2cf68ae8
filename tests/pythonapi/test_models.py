# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from modeld import Chunk, Done, FinishReason, Generation, Message, Token, Usage
from modeld.errors import (
    ConfigurationError,
    DrainingError,
    InternalError,
    InvalidRequestError,
    LoadFailedError,
    ModelExceedsBudgetError,
    ModelNotFoundError,
    QueueFullError,
    RequestTimeoutError,
    StartError,
)
from modeld.messages import ToolCall
from modeld.requests import (
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.responses import (
    EmbedResponse,
    LikelyToken,
    ReasoningToken,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
    TokenLogprobs,
    ToolCallDelta,
)
from modeld.testing.doubles.fake_service import FakeService
from modeld.testing.doubles.scripted import USAGE
from modeld.values import ModelSpec
from tests.support.pythonapi import local, scripted
from tests.support.serving.counter import PATIENCE_S, until, until_running

CHAT = [{"role": "user", "content": "hi"}]


def test_a_chat_comes_whole_or_piece_by_piece() -> None:
    async def main() -> None:
        service = FakeService()
        async with scripted(service) as models:
            whole = await models.chat("m", CHAT, max_tokens=5)
            pieces = [chunk async for chunk in models.stream_chat("m", CHAT)]
        assert whole == Generation(content="ab", finish_reason=FinishReason.STOP, usage=USAGE)
        assert pieces == list(service.script)
        assert [request.messages for request in service.requests] == [
            (Message(role="user", content="hi"),)
        ] * 2
        assert [request.max_tokens for request in service.requests] == [5, None]
        assert service.calls == ["start", "aclose"]

    asyncio.run(main())


def test_a_prompt_goes_on_as_text_or_as_tokens() -> None:
    async def main() -> None:
        service = FakeService()
        async with scripted(service) as models:
            assert (await models.generate("m", "once")).content == "ab"
            await models.generate("m", [1, 2])
            assert len([chunk async for chunk in models.stream_generate("m", "once")]) == 3
        assert [request.prompt for request in service.requests] == ["once", None, "once"]
        assert [request.prompt_tokens for request in service.requests] == [None, (1, 2), None]
        assert len({request.request_id for request in service.requests}) == 3

    asyncio.run(main())


def test_a_generation_has_all_of_its_pieces_and_goes_on_as_a_turn() -> None:
    likely = TokenLogprobs(chosen=LikelyToken(id=1, piece=b"a", logprob=-0.5))
    script = (
        ReasoningToken(text="hm", logprobs=(likely,)),
        Token(text="so", logprobs=(likely, likely)),
        ToolCallDelta(index=0, id="1", name="look", arguments='{"at"'),
        ToolCallDelta(index=0, arguments=": 1}"),
        Done(
            finish_reason=FinishReason.TOOL_CALLS, usage=Usage(), content=None, logprobs=(likely,)
        ),
    )

    async def main() -> None:
        service = FakeService(*script)
        async with scripted(service) as models:
            said = await models.chat("m", CHAT)
            await models.chat("m", [*CHAT, said.message, {"role": "tool", "content": "a cat"}])
        calls = (ToolCall(id="1", name="look", arguments='{"at": 1}'),)
        assert said.logprobs == (likely,) * 4
        assert said.message == Message(
            role="assistant", content="so", reasoning="hm", tool_calls=calls
        )
        assert service.requests[-1].messages is not None
        assert service.requests[-1].messages[1] == said.message

    asyncio.run(main())


def test_unary_requests_have_a_verb_each() -> None:
    async def main() -> None:
        service = FakeService()
        async with scripted(service) as models:

            async def asked(verb: Any, *arguments: Any, **options: Any) -> Any:
                return await verb("m", *arguments, timeout_s=9, **options)

            vectors = EmbedResponse(vectors=((1.0,),), usage=Usage())
            service.unary_response = vectors
            assert await asked(models.embed, "one", normalize=False) == vectors
            assert await asked(models.embed, ["one", (1, 2)]) == vectors
            service.unary_response = scores = RerankResponse(scores=(1.0,), usage=Usage())
            assert await asked(models.rerank, "q", ["d"]) == scores
            service.unary_response = tokens = TokenizeResponse(ids=(1,))
            assert await asked(models.tokenize, "t", with_pieces=True) == tokens
            service.unary_response = TextResponse(text="t")
            assert await asked(models.detokenize, [1]) == "t"
            assert await asked(models.apply_template, CHAT, continue_last=False) == "t"
        said = [
            type(request)(**{**vars_of(request), "request_id": ""})
            for request in service.unary_requests
        ]
        common: dict[str, Any] = {"model": "m", "timeout_s": 9}
        assert said == [
            EmbedRequest(inputs=("one",), normalize=False, **common),
            EmbedRequest(inputs=("one", (1, 2)), **common),
            RerankRequest(query="q", documents=("d",), **common),
            TokenizeRequest(text="t", with_pieces=True, **common),
            DetokenizeRequest(tokens=(1,), **common),
            ApplyTemplateRequest(messages=(Message(role="user", content="hi"),), **common),
        ]

    asyncio.run(main())


def vars_of(request: Any) -> dict[str, Any]:
    return {name: getattr(request, name) for name in request.__struct_fields__}


def test_the_models_are_listed_loaded_pinned_and_unloaded() -> None:
    async def main() -> None:
        service = FakeService(models=(ModelSpec(id="m", name="m", path="m"),))
        async with scripted(service) as models:
            assert [spec.id for spec in await models.list()] == ["m"]
            assert [spec.id for spec in await models.refresh()] == ["m"]
            await models.load("m", keep_alive_s="forever")
            await models.pin("m")
            await models.pin("m", pinned=False)
            await models.unload("m")
            assert (await models.plan("m")).outcome == "loads"
            assert await models.status() == service.snapshot
            with pytest.raises(ModelNotFoundError):
                await models.load("n")
        moves = ["load m for forever", "pin m", "unpin m", "unload m"]
        assert service.calls == ["start", "refresh", *moves, "aclose"]

    asyncio.run(main())


def test_a_load_that_takes_too_long_is_given_up() -> None:
    async def main() -> None:
        service = FakeService(models=(ModelSpec(id="m", name="m", path="m"),))
        service.load_gate = asyncio.Event()
        async with scripted(service) as models:
            with pytest.raises(RequestTimeoutError):
                await models.load("m", timeout_s=0.01)
        assert "gave up m" in service.calls

    asyncio.run(main())


def test_the_first_verb_starts_what_nobody_has_entered() -> None:
    async def main() -> None:
        service = FakeService()
        models = scripted(service)
        assert service.calls == []
        await models.chat("m", CHAT)
        await models.chat("m", CHAT)
        await models.aclose()
        await models.aclose()
        with pytest.raises(DrainingError):
            await models.chat("m", CHAT)
        assert service.calls[:2] == ["start", "aclose"]

    asyncio.run(main())


def test_a_start_that_fails_closes_what_it_has_opened() -> None:
    async def main() -> None:
        service = FakeService()
        service.start_error = ConfigurationError("bad")
        with pytest.raises(ConfigurationError):
            async with scripted(service):
                pass
        assert service.calls == ["start", "aclose"]

    asyncio.run(main())


def test_another_event_loop_is_refused() -> None:
    models = scripted(FakeService())
    asyncio.run(models.start())
    with pytest.raises(StartError, match="another event loop"):
        asyncio.run(models.start())


def test_leaving_the_stream_early_frees_the_slot() -> None:
    async def main() -> None:
        models, counter = local()
        async with asyncio.timeout(PATIENCE_S), models:
            async for chunk in models.stream_generate("a", "one WAIT"):
                assert isinstance(chunk, Token)
                await until_running(counter)
                break
            gc.collect()  # only to be independent of how soon an interpreter collects
            await until(lambda: counter.backend.engines[0].running == 0)
            assert (await models.generate("a", "two")).content == "two"

    asyncio.run(main())


def test_a_stream_that_is_kept_is_closed_by_hand() -> None:
    async def main() -> None:
        models, counter = local()
        async with asyncio.timeout(PATIENCE_S), models:
            async with aclosing(models.stream_generate("a", "one WAIT")) as stream:
                await anext(stream)
                assert counter.backend.engines[0].running == 1
            assert counter.backend.engines[0].running == 0

    asyncio.run(main())


def test_a_cancelled_caller_frees_the_slot() -> None:
    async def main() -> None:
        models, counter = local()
        async with asyncio.timeout(PATIENCE_S), models:
            asking = asyncio.create_task(models.generate("a", "one WAIT"))
            await until_running(counter)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert counter.backend.engines[0].running == 0

    asyncio.run(main())


def test_a_request_ends_with_its_time() -> None:
    async def main() -> None:
        models, counter = local()
        async with asyncio.timeout(PATIENCE_S), models:
            with pytest.raises(RequestTimeoutError, match=r"timeout_s of 0\.05"):
                await models.generate("a", "one WAIT", timeout_s=0.05)
            with pytest.raises(RequestTimeoutError):
                await models.tokenize("a", "WAIT", timeout_s=0.05)
            assert counter.backend.engines[0].running == 0

    asyncio.run(main())


async def first_of(stream: AsyncGenerator[Chunk, None]) -> Chunk:
    """Take one chunk, in whichever task that is."""
    return await anext(stream)


def test_the_time_goes_on_while_nobody_takes_the_next_chunk() -> None:
    async def main() -> None:
        service = FakeService(Token(text="a"), asyncio.Event())
        async with scripted(service) as models:
            stream = models.stream_chat("m", CHAT, timeout_s=0.01)
            assert await asyncio.create_task(first_of(stream)) == Token(text="a")
            with pytest.raises(RequestTimeoutError):
                await asyncio.create_task(first_of(stream))
        assert service.ends == ["left"]

    asyncio.run(main())


def test_the_queue_and_the_budget_are_those_of_every_door() -> None:
    async def main() -> None:
        models, counter = local(max_queue_depth=0, memory_budget_mb=150)
        async with asyncio.timeout(PATIENCE_S), models:
            running = asyncio.create_task(models.generate("a", "WAIT"))
            await until_running(counter)
            with pytest.raises(QueueFullError):
                await models.generate("a", "one")
            counter.backend.engines[0].may_go_on.set()
            await running
            counter.backend.estimate_mb = 200
            with pytest.raises(ModelExceedsBudgetError):
                await models.load("b")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("prompt", "error", "message"),
    [
        ("REFUSE", InvalidRequestError, "not this"),
        ("one BUG", InternalError, "raised ZeroDivisionError: a bug"),
    ],
)
def test_what_goes_wrong_is_of_the_tree_of_errors(
    prompt: str, error: type[Exception], message: str
) -> None:
    async def main() -> None:
        models, _ = local()
        async with models:
            with pytest.raises(error, match=message):
                await models.generate("a", prompt)

    asyncio.run(main())


def test_a_failed_load_is_told() -> None:
    async def main() -> None:
        models, counter = local()
        counter.backend.load_errors = [LoadFailedError("too odd")]
        async with models:
            with pytest.raises(LoadFailedError, match="too odd"):
                await models.chat("a", CHAT)

    asyncio.run(main())


def test_a_service_that_responds_with_something_else_is_at_fault() -> None:
    async def main() -> None:
        service = FakeService()
        async with scripted(service) as models:
            with pytest.raises(InternalError, match="responded with TextResponse"):
                await models.embed("m", "x")
            service.script = (Token(text="a"),)
            with pytest.raises(InternalError, match="has no end"):
                await models.chat("m", CHAT)

    asyncio.run(main())


def test_two_in_one_process_share_nothing() -> None:
    async def main() -> None:
        one, counter = local()
        other, others = local()
        async with one, other:
            await one.generate("a", "hi")
            assert (await one.status()).loads_total == 1
            assert (await other.status()).loads_total == 0
            await other.load("b")
            assert [len(each.backend.engines) for each in (counter, others)] == [1, 1]

    asyncio.run(main())


def test_signals_and_logging_stay_as_they_are() -> None:
    def surroundings() -> list[object]:
        loggers = [logging.getLogger(), logging.getLogger("modeld")]
        handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        return [*handlers, *((each.level, list(each.handlers)) for each in loggers)]

    async def main() -> None:
        before = surroundings()
        models, _ = local()
        async with models:
            await models.generate("a", "hi")
            assert surroundings() == before
        assert surroundings() == before

    asyncio.run(main())
