# SPDX-License-Identifier: GPL-3.0-only
"""An engine of a backend's own is watched as a worker is: one that hangs goes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from modeld import Chunk, Done, Engine, FinishReason, GenerateRequest, Settings, Token, Usage
from modeld.errors import DrainingError, WorkerCrashedError
from modeld.hosting.loading import LoadingHost
from modeld.hosting.worker.thread import WorkerThread
from modeld.plugins.faults import PluginFaults
from modeld.plugins.guard import PluginFault
from modeld.requests import AnyUnaryRequest, TokenizeRequest
from modeld.responses import AnyUnaryResponse, TokenizeResponse
from modeld.serving.contained_engine import contained
from modeld.serving.own_generation import AHEAD, OwnGeneration
from tests.support.hosting.leaks import PATIENCE_S, run, until

DONE = Done(finish_reason=FinishReason.STOP, usage=Usage())
HELLO = GenerateRequest(prompt="hi")
LONG_S = 60.0


class Script(Engine):
    """Does what the test says."""

    slots = 4

    def __init__(self) -> None:
        self.steps: Callable[[], AsyncGenerator[Chunk, None]] = self.nothing
        self.response: Callable[[], Any] = self.never
        self.may_go_on = asyncio.Event()
        self.produced = 0

    async def nothing(self) -> AsyncGenerator[Chunk, None]:
        yield DONE

    async def never(self) -> AnyUnaryResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async def halting(self) -> AsyncGenerator[Chunk, None]:
        """Say a word, and then nothing more."""
        yield Token(text="well")
        await self.may_go_on.wait()
        yield DONE

    async def stubborn(self) -> AsyncGenerator[Chunk, None]:
        """Say a word, and go on whoever cancels it."""
        yield Token(text="well")
        while not self.may_go_on.is_set():
            try:
                await self.may_go_on.wait()
            except asyncio.CancelledError:
                continue
        yield DONE

    async def quick(self) -> AsyncGenerator[Chunk, None]:
        """Say much more than a client takes."""
        for _ in range(10 * AHEAD):
            self.produced += 1
            yield Token(text="x")
        yield DONE

    def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        return self.steps()

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        response: AnyUnaryResponse = await self.response()
        return response

    async def aclose(self) -> None:
        self.may_go_on.set()


async def no_worker() -> WorkerThread:
    raise AssertionError("no worker is needed")


@asynccontextmanager
async def behind_the_wall(
    script: Script, stall_timeout_s: float = LONG_S, cancel_timeout_s: float = LONG_S
) -> AsyncIterator[Engine]:
    settings = Settings(stall_timeout_s=stall_timeout_s, cancel_timeout_s=cancel_timeout_s)
    host = LoadingHost(no_worker, settings, lambda _fraction: None)
    engine = await contained(script, host, "scripted", PluginFaults({}).note)
    try:
        yield engine
    finally:
        await engine.aclose()


async def taken(engine: Engine) -> list[Chunk]:
    async with aclosing(engine.generate(HELLO)) as chunks:
        return [chunk async for chunk in chunks]


def generations() -> list[OwnGeneration]:
    return [each for each in gc.get_objects() if type(each) is OwnGeneration]


def test_nothing_is_kept_of_a_generation_that_is_over() -> None:
    """A prompt may be long, and an engine lives for weeks."""

    async def main() -> None:
        script = Script()
        async with behind_the_wall(script) as engine:
            others = generations()  # of tests whose engines hang for ever
            assert await taken(engine) == [DONE]
            gc.collect()
            assert not [each for each in generations() if each not in others]

    run(main())


def test_a_request_that_runs_while_its_engine_is_closed_is_told_so() -> None:
    async def main() -> None:
        script = Script()
        script.steps = script.stubborn
        script.response = script.never
        async with behind_the_wall(script, cancel_timeout_s=0.2) as engine:
            asking = asyncio.create_task(engine.submit(TokenizeRequest(text="x")))
            chunks = engine.generate(HELLO)
            await anext(chunks)
            script.may_go_on = asyncio.Event()  # it goes on though it is closed
            await engine.aclose()
            with pytest.raises(DrainingError):
                await anext(chunks)
            with pytest.raises(DrainingError):
                await asking
            with pytest.raises(DrainingError):
                await taken(engine)

    run(main())


@pytest.mark.parametrize("steps", ["halting", "stubborn"])
def test_an_engine_of_which_nothing_comes_counts_as_dead(steps: str) -> None:
    async def main() -> None:
        script = Script()
        script.steps = getattr(script, steps)
        async with behind_the_wall(script, stall_timeout_s=0.2) as engine:
            exited = asyncio.create_task(engine.wait_exited())
            with pytest.raises(WorkerCrashedError) as raised:
                await taken(engine)
            assert raised.value.message == (
                "the model's engine hangs: it made no progress for 0.2 s"
            )
            assert raised.value.cause == "stall"
            assert (await exited) is raised.value
            assert engine.failure() is raised.value
            with pytest.raises(WorkerCrashedError):
                await taken(engine)

    run(main())


def test_a_unary_request_of_which_nothing_comes_fails_likewise() -> None:
    async def main() -> None:
        async with behind_the_wall(Script(), stall_timeout_s=0.2) as engine:
            with pytest.raises(WorkerCrashedError, match="no progress"):
                await engine.submit(TokenizeRequest(text="x"))
            assert engine.failure() is not None

    run(main())


def test_an_engine_that_does_not_give_a_request_up_counts_as_dead() -> None:
    async def main() -> None:
        script = Script()
        script.steps = script.stubborn
        async with behind_the_wall(script, cancel_timeout_s=0.2) as engine:
            chunks = engine.generate(HELLO)
            assert await anext(chunks) == Token(text="well")
            async with asyncio.timeout(PATIENCE_S):
                await chunks.aclose()
            failure = engine.failure()
            assert failure is not None
            assert failure.message == (
                "the model's engine hangs: it did not give up a cancelled request within 0.2 s"
            )

    run(main())


def test_an_engine_that_gives_a_request_up_lives_on() -> None:
    async def main() -> None:
        script = Script()
        script.steps = script.halting
        async with behind_the_wall(script, stall_timeout_s=0.2, cancel_timeout_s=0.2) as engine:
            chunks = engine.generate(HELLO)
            await anext(chunks)
            await chunks.aclose()
            assert not engine._watch.needed  # type: ignore[attr-defined]
            assert engine.failure() is None
            script.steps = script.nothing
            assert await taken(engine) == [DONE]

    run(main())


def test_the_cancellation_of_a_request_goes_through_and_is_no_death() -> None:
    async def main() -> None:
        script = Script()
        script.steps = script.halting
        async with behind_the_wall(script) as engine:
            for work in (taken(engine), engine.submit(TokenizeRequest(text="x"))):
                task = asyncio.create_task(work)
                await until(lambda: engine._watch.needed)  # type: ignore[attr-defined]
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert not engine._watch.needed  # type: ignore[attr-defined]
            assert engine.failure() is None

    run(main())


def test_a_client_that_takes_nothing_is_no_fault_of_the_engine() -> None:
    async def main() -> None:
        script = Script()
        script.steps = script.quick
        async with behind_the_wall(script, stall_timeout_s=0.1) as engine:
            chunks = engine.generate(HELLO)
            await anext(chunks)
            await until(lambda: not engine._watch.needed)  # type: ignore[attr-defined]
            assert script.produced <= AHEAD + 2, "it waits for its client"
            rest = [chunk async for chunk in chunks]
            assert len(rest) == 10 * AHEAD
            assert engine.failure() is None

    run(main())


@pytest.mark.parametrize(("own_s", "hangs"), [(0.1, True), (LONG_S, False), (None, True)])
def test_an_engine_may_say_for_itself_how_long_it_may_be_silent(
    own_s: float | None, hangs: bool
) -> None:
    async def main() -> None:
        script = Script()
        script.stall_timeout_s = own_s
        script.steps = script.halting
        usual_s = LONG_S if own_s == 0.1 else 0.1
        async with behind_the_wall(script, stall_timeout_s=usual_s) as engine:
            chunks = engine.generate(HELLO)
            await anext(chunks)
            if hangs:
                with pytest.raises(WorkerCrashedError):
                    await anext(chunks)
                return
            script.may_go_on.set()
            assert await anext(chunks) == DONE
            await chunks.aclose()

    run(main())


@pytest.mark.parametrize("own_s", [0, -1.0, float("nan"), "1", [1]])
def test_what_is_no_time_is_said_once_and_the_usual_one_counts(
    own_s: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        script = Script()
        script.stall_timeout_s = own_s
        async with behind_the_wall(script) as engine:
            assert await taken(engine) == [DONE]

    run(main())
    assert len(caplog.messages) == 1
    assert "its engine's stall_timeout_s cannot be used: it is " in caplog.text


def test_what_an_engine_raises_in_the_middle_comes_after_what_it_has_said() -> None:
    async def main() -> None:
        script = Script()

        async def half() -> AsyncGenerator[Chunk, None]:
            yield Token(text="well")
            raise SystemExit(3)

        script.steps = half
        async with behind_the_wall(script) as engine:
            chunks = engine.generate(HELLO)
            assert await anext(chunks) == Token(text="well")
            with pytest.raises(PluginFault, match="generate raised SystemExit: 3"):
                await anext(chunks)
            assert engine.failure() is None, "it has failed one request, and may serve others"
            script.response = tokens
            assert await engine.submit(TokenizeRequest(text="x")) == TokenizeResponse(ids=(1,))

    run(main())


async def tokens() -> TokenizeResponse:
    return TokenizeResponse(ids=(1,))
