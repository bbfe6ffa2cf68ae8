# SPDX-License-Identifier: GPL-3.0-only
"""What a model computes at the end of its load, before it takes requests."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from msgspec.structs import replace

from modeld import Chunk, Done, FinishReason, GenerateRequest, Usage
from modeld.capabilities import Capability
from modeld.errors import InvalidRequestError
from modeld.events import ModelLoaded, ModelLoadFailed, RequestStarted
from modeld.requests import EmbedRequest, RerankRequest
from modeld.serving.warm_up import TEXT, request_of
from modeld.status import InstanceState
from modeld.testing.doubles.virtual_time import run_virtually
from tests.support.serving.desk import state_of
from tests.support.serving.fakes import FakeBackend, FakeEngine
from tests.support.serving.stage import Stage, a_stage

pytestmark = pytest.mark.usefixtures("unmeasured")


class Gaining(FakeBackend):
    """Its first request after a load is slower."""

    gains_by_warm_up = True


class Heard(FakeEngine):
    """Remembers what it was asked, and takes ``seconds`` for it or fails."""

    def __init__(self, seconds: float = 0.5, error: Exception | None = None) -> None:
        super().__init__()
        self.prompts: list[str | None] = []
        self._seconds, self._error = seconds, error

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        self.prompts.append(request.prompt)
        await asyncio.sleep(self._seconds)
        if self._error is not None:
            raise self._error
        yield Done(finish_reason=FinishReason.LENGTH, usage=Usage())


async def loaded(
    stage: Stage, engine: Heard, warm_up: bool | str | None, *, needs_slot: bool
) -> Heard:
    entry = stage.entry("a")
    entry.options = replace(entry.options, warm_up=warm_up)
    await stage.client(entry, needs_slot=needs_slot)
    await asyncio.sleep(3)
    stage.backend.loads["a"].set_result(engine)
    await asyncio.sleep(0.25)
    return engine


@pytest.mark.parametrize(
    ("warm_up", "backend", "needs_slot", "prompts"),
    [
        (None, FakeBackend, False, []),
        (None, Gaining, False, [TEXT]),
        (None, Gaining, True, []),
        (True, FakeBackend, True, [TEXT]),
        (False, Gaining, False, []),
        ("Be brief.", FakeBackend, False, ["Be brief."]),
    ],
)
def test_it_is_done_as_the_option_says_and_unless_set_where_nobody_waits(
    *, warm_up: bool | str | None, backend: type[FakeBackend], needs_slot: bool, prompts: list[str]
) -> None:
    async def main() -> None:
        async with a_stage(backend=backend()) as stage:
            engine = await loaded(stage, Heard(), warm_up, needs_slot=needs_slot)
            assert engine.prompts[: len(prompts) or None] == prompts

    run_virtually(main())


def test_it_counts_as_loading_and_as_no_request() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            await loaded(stage, Heard(0.5), warm_up=True, needs_slot=False)
            entry = stage.scheduler.entries["a"]
            assert state_of(entry) is InstanceState.LOADING
            await asyncio.sleep(1)
            assert state_of(entry) is InstanceState.READY
            (told,) = stage.seen(ModelLoaded)
            assert told.warm_up_s == pytest.approx(0.5, abs=1e-3)
            assert told.seconds == pytest.approx(3.5, abs=1e-2)
            assert not stage.seen(RequestStarted)
            assert entry.tally.completion_tokens == 0

    run_virtually(main())


def test_one_that_was_asked_for_and_fails_fails_the_load_and_leaves_nothing() -> None:
    async def main() -> None:
        async with a_stage() as stage:
            error = InvalidRequestError("the prompt has 900 tokens, the context 512")
            engine = await loaded(stage, Heard(0.1, error), "long", needs_slot=False)
            await asyncio.sleep(1)
            (told,) = stage.seen(ModelLoadFailed)
            assert "the warm-up failed: the prompt has 900 tokens" in told.message
            assert engine.closed
            assert stage.scheduler.ledger.held_bytes == 0

    run_virtually(main())


def test_one_that_nobody_has_asked_for_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with a_stage(backend=Gaining()) as stage:
            await loaded(stage, Heard(0.1, RuntimeError("no")), None, needs_slot=False)
            await asyncio.sleep(1)
            assert stage.seen(ModelLoaded)
            assert "the warm-up failed" in caplog.text

    run_virtually(main())


def test_one_that_never_ends_is_given_up_after_the_timeout_of_loads() -> None:
    async def main() -> None:
        async with a_stage(load_timeout_s=30) as stage:
            engine = await loaded(stage, Heard(1e6), warm_up=True, needs_slot=False)
            await asyncio.sleep(31)
            (told,) = stage.seen(ModelLoadFailed)
            assert "the warm-up took longer than 30 s" in told.message
            assert engine.closed

    run_virtually(main())


def test_a_model_that_dies_of_it_has_failed_to_load() -> None:
    async def main() -> None:
        async with a_stage(backend=Gaining()) as stage:
            engine = await loaded(stage, Heard(0.5, RuntimeError("gone")), None, needs_slot=False)
            engine.die()
            await asyncio.sleep(1)
            assert stage.seen(ModelLoadFailed)

    run_virtually(main())


def test_its_request_is_of_a_kind_that_the_model_serves() -> None:
    text = request_of("m", "hello", {Capability.TEXT, Capability.EMBED})
    assert isinstance(text, GenerateRequest)
    assert (text.prompt, text.max_tokens, text.cache_prompt) == ("hello", 1, True)
    usual = request_of("m", TEXT, {Capability.TEXT})
    assert isinstance(usual, GenerateRequest)
    assert not usual.cache_prompt, "what nobody has chosen takes no place in the prefix cache"
    assert isinstance(request_of("m", "hello", {Capability.EMBED}), EmbedRequest)
    assert isinstance(request_of("m", "hello", {Capability.RERANK}), RerankRequest)
    assert request_of("m", "hello", {Capability.TOKENIZE}) is None
