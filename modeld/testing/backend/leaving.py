# SPDX-License-Identifier: GPL-3.0-only
"""Checks of clients that leave, and of requests that fail."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import aclosing
from typing import Final

from modeld import Engine, Failed, GenerateRequest, StepEngine
from modeld.errors import ModeldError, PromptTooLongError, WorkerCrashedError
from modeld.requests import AnyRequest
from modeld.responses import PIECES
from modeld.testing.backend.driven import DrivenEngine
from modeld.testing.backend.generating import ENDS, REPEATS
from modeld.testing.backend.subject import BackendSubject, collect
from modeld.testing.contract import DisclaimedError, UntestedError, assert_that, check

LEAVES: Final = "test_leaving_after_the_first_token_stops_the_work"
FAILS_ALONE: Final = "test_a_failing_request_fails_alone"
MANY_STEPS: Final = 5_000


class LeavingChecks(BackendSubject):
    """Requests that do not come to their end."""

    @check(REPEATS)
    async def test_leaving_before_the_first_token_hurts_nobody(self) -> None:
        """A request that is given up as soon as it was made is forgotten."""
        async with self.loaded() as engine:
            before = (await collect(engine, self.request())).text
            for _ in range(3):
                await engine.generate(self.request()).aclose()
                waiting = asyncio.ensure_future(collect(engine, self.request()))
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait([waiting])
            await self._serves_on(engine, before, "left before the first token")

    @check(REPEATS)
    async def test_leaving_after_the_first_token_stops_the_work(self) -> None:
        """A generation that is closed in its middle is stopped and forgotten."""
        async with self.loaded() as engine:
            before = (await self.long(engine)).text
            for _ in range(3):
                async with aclosing(engine.generate(self.request())) as chunks:
                    await anext(chunks)
            await self._serves_on(engine, before, "left after the first token")

    @check(LEAVES)
    async def test_leaving_really_frees_the_slot(self) -> None:
        """However many leave, as many requests as there are slots are served."""
        async with self.loaded() as engine:
            for _ in range(engine.slots + 1):
                leaving = [engine.generate(self.request()) for _ in range(engine.slots)]
                for chunks in leaving:
                    await anext(chunks)
                for chunks in leaving:
                    await chunks.aclose()
            found = await asyncio.gather(
                *(collect(engine, self.request(max_tokens=2)) for _ in range(engine.slots))
            )
            assert_that(
                all(each.done for each in found),
                f"after {engine.slots * (engine.slots + 1)} clients had left, not all of"
                f" {engine.slots} requests came to their end; free in cancel what a request held",
            )

    @check(ENDS)
    async def test_what_was_cancelled_says_nothing_more(self) -> None:
        """A step engine forgets a request, an unknown one too, and the others go on."""

        def leave(engine: StepEngine) -> None:
            engine.cancel(404)
            engine.submit(1, self.request())
            engine.interrupt(1)
            engine.cancel(1)
            engine.submit(2, self.request(max_tokens=2))
            for said, chunk in _until_end(engine, 2):
                assert_that(
                    said == 2,
                    f"{type(chunk).__name__} came for a request that was cancelled; forget it in"
                    " cancel",
                )
            engine.cancel(2)

        async with self.loaded() as engine:
            await _step_engine(engine).alone(leave)

    @check(ENDS)
    async def test_a_paused_request_says_nothing(self) -> None:
        """What an engine says that it holds back comes only when it may go on."""

        def hold(engine: StepEngine) -> None:
            engine.submit(1, self.request())
            is_held: object = engine.pause(1)
            assert_that(
                isinstance(is_held, bool), f"pause returned {is_held!r}; return True or False"
            )
            if not is_held:
                engine.cancel(1)
                raise DisclaimedError("the engine holds no request back: pause returns False")
            if engine.slots > 1:  # while all are paused there are no steps
                engine.submit(2, self.request())
                for _ in range(3):
                    assert_that(
                        not [said for said, _ in engine.step() if said == 1],
                        "something came for a paused request; leave it out of steps until resume",
                    )
                engine.cancel(2)
            engine.resume(1)
            assert_that(
                any(said == 1 for said, _ in _until_end(engine, 1)),
                "nothing came for a request after resume",
            )

        async with self.loaded() as engine:
            await _step_engine(engine).alone(hold)

    @check(ENDS, "test_the_context_is_a_number_or_unknown")
    async def test_a_prompt_that_is_too_long_is_refused(self) -> None:
        """More tokens than the context are an error of the request, and of no other one."""
        context = self.backend.context(self.spec, self.typed_options)
        if context is None:
            raise DisclaimedError("the backend declares no context")
        async with self.loaded() as engine:
            prompt = "a b c d " * (context // 4 + 16)
            try:
                await collect(engine, self.request(prompt=prompt))
            except PromptTooLongError:
                found = await collect(engine, self.request(max_tokens=2))
                assert_that(found.done, "after it was refused, a short prompt has no end")
                return
            except ModeldError as exc:
                raise AssertionError(
                    f"a prompt of more than {context} tokens failed with {exc.code!r}:"
                    f" {exc.message}; raise PromptTooLongError"
                ) from exc
            raise AssertionError(
                f"a prompt of more than {context} tokens was taken; raise PromptTooLongError"
            )

    @check(REPEATS)
    async def test_a_failing_request_fails_alone(self) -> None:
        """It ends with an error that says why, and the next request is served."""
        if self.failing is None:
            raise UntestedError("give the contract a request that fails, as `failing`")
        async with self.loaded() as engine:
            before = (await collect(engine, self.request())).text
            try:
                await _served(engine, self.failing)
            except ModeldError as exc:
                assert_that(
                    not isinstance(exc, WorkerCrashedError) and engine.failure() is None,
                    f"one request took the engine down: {exc.message}; raise a ModeldError in"
                    " submit, or return Failed from step",
                )
                assert_that(exc.message, "a request failed without a word; say why")
            else:
                raise AssertionError("the request that fails ended as if it had been served")
            await self._serves_on(engine, before, "failed")

    @check(REPEATS, FAILS_ALONE)
    async def test_an_error_after_the_first_token_ends_its_request(self) -> None:
        """Nothing more comes of this request, and one that runs beside it is served whole."""
        if self.failing is None:
            raise UntestedError("give the contract a request that fails, as `failing`")
        if not isinstance(self.failing, GenerateRequest):
            raise DisclaimedError("the request that fails is none for text")
        async with self.loaded() as engine:
            before = (await collect(engine, self.request())).text
            beside = [collect(engine, self.request())] if engine.slots > 1 else []
            said, found = await asyncio.gather(
                _said_by(engine, self.failing), asyncio.gather(*beside)
            )
            if not said:
                raise DisclaimedError("the request that fails does so before its first token")
            assert_that(
                all(each.text == before for each in found),
                "a request that ran beside one that failed was not served whole",
            )
            await self._serves_on(engine, before, "failed after its first token")
            strays = engine.strays if isinstance(engine, DrivenEngine) else []
            assert_that(
                not strays, f"step returned {'; '.join(strays)}; nothing follows what has failed"
            )

    @check(ENDS)
    async def test_a_killed_process_is_an_error_of_its_requests(self) -> None:
        """Where the model runs in a process of its own, its death is no end of a generation."""
        async with self.loaded() as engine:
            if engine.pid in {None, os.getpid()}:
                raise DisclaimedError("the engine has no process of its own: pid is None")
            assert engine.pid is not None
            chunks = engine.generate(self.request(max_tokens=512))
            await anext(chunks)
            os.kill(engine.pid, signal.SIGKILL)
            try:
                async for chunk in chunks:
                    assert_that(
                        isinstance(chunk, PIECES),
                        "the process was killed, and the generation ended as if it were done; raise"
                        " WorkerCrashedError",
                    )
            except WorkerCrashedError:
                pass
            death: object = await engine.wait_exited()
            assert_that(
                isinstance(death, WorkerCrashedError) and engine.failure() is not None,
                "wait_exited and failure do not tell of the killed process; return a"
                " WorkerCrashedError",
            )

    async def _serves_on(self, engine: Engine, before: str, what: str) -> None:
        found = await collect(engine, self.request())
        assert_that(
            found.text == before,
            f"after a request that {what}, the next one gave {found.text!r} and not {before!r};"
            " forget all of a request that is over",
        )


async def _served(engine: Engine, request: AnyRequest) -> None:
    if isinstance(request, GenerateRequest):
        await collect(engine, request)
    else:
        await engine.submit(request)


async def _said_by(engine: Engine, failing: GenerateRequest) -> int:
    """Return how many pieces came of a request before it failed."""
    said = 0
    try:
        async with aclosing(engine.generate(failing)) as chunks:
            async for _ in chunks:
                said += 1
    except ModeldError:
        pass
    return said


def _step_engine(engine: Engine) -> DrivenEngine:
    if not isinstance(engine, DrivenEngine):
        raise DisclaimedError("the engine has no steps")
    return engine


def _until_end(engine: StepEngine, request_id: int) -> list[tuple[int, object]]:
    """Return all that steps produce until one request has ended."""
    found: list[tuple[int, object]] = []
    for _ in range(MANY_STEPS):
        for said, chunk in engine.step():
            found.append((said, chunk))
            if said == request_id and not isinstance(chunk, PIECES):
                assert_that(not isinstance(chunk, Failed), f"the request failed: {chunk!r}")
                return found
    raise AssertionError(f"a request did not come to its end in {MANY_STEPS:,} steps")
