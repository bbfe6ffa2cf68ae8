# SPDX-License-Identifier: GPL-3.0-only
"""The backend as its users meet it: installed, found by its entry point, in a real worker."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

import modeld
from modeld.errors import InvalidRequestError, NotSupportedError, WorkerCrashedError
from modeld.requests import DetokenizeRequest, TokenizeRequest
from modeld.responses import TokenizeResponse

FACTS = "The capital of France is Paris. The capital of Spain is Madrid."


@asynccontextmanager
async def serving(folder: Path, pause_s: float = 0.0) -> AsyncIterator[modeld.ModelService]:
    """A service with one model, without HTTP and without workers that wait for more."""
    (folder / "facts.txt").write_text(FACTS)
    settings = modeld.Settings(
        models_dir=str(folder),
        default_model="facts.txt",
        models={"*.txt": {"pause_s": pause_s}},
        warm_workers=0,
    )
    app = modeld.create_app(settings)
    async with app.lifespan():
        yield app.service


async def ask(service: modeld.ModelService, **request: object) -> list[modeld.Chunk]:
    """Return all chunks of one generation."""
    async with aclosing(service.generate(modeld.GenerateRequest(**request))) as chunks:  # type: ignore[arg-type]  # the tests know the fields
        return [chunk async for chunk in chunks]


def test_the_model_goes_on_with_what_it_has_read(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            token, done = await ask(service, prompt="of Spain is")
            assert token == modeld.Token(text=" Madrid.")
            assert isinstance(done, modeld.Done)
            assert (done.content, done.finish_reason) == (" Madrid.", "stop")
            assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (3, 1)

    asyncio.run(main())


def test_it_knows_the_tokens_of_what_it_has_read_and_generates_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            tokens = await service.submit(TokenizeRequest(text="of Spain"))
            assert tokens == TokenizeResponse(ids=(2, 9))
            written = await service.submit(TokenizeRequest(text="of Spain", with_pieces=True))
            assert written == TokenizeResponse(ids=(2, 9), pieces=(b"of", b"Spain"))
            with pytest.raises(InvalidRequestError, match="never read 'Italy'"):
                await service.submit(TokenizeRequest(text="of Italy"))
            with pytest.raises(NotSupportedError):
                await service.submit(DetokenizeRequest(tokens=(2,)))

    asyncio.run(main())


def test_a_generation_is_no_longer_than_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            chat = (modeld.Message(role="user", content="The capital"),)
            *_, done = await ask(service, messages=chat, max_tokens=2)
            assert isinstance(done, modeld.Done)
            assert (done.content, done.finish_reason) == (" of France", "length")

    asyncio.run(main())


def test_a_generation_ends_before_a_stop_text(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            *_, done = await ask(service, prompt="of France is", stop=("is. The",))
            assert isinstance(done, modeld.Done)
            assert (done.content, done.finish_reason) == (" Par", "stop")

    asyncio.run(main())


def test_a_parameter_of_its_own_reaches_the_engine_and_all_others_are_refused(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            skipping = modeld.Sampling(own={"skip_words": 3})
            token, _ = await ask(service, prompt="The capital", max_tokens=1, sampling=skipping)
            assert token == modeld.Token(text=" Paris.")
            for sampling, field in (
                (modeld.Sampling(own={"skip_words": -1}), "skip_words"),
                (modeld.Sampling(own={"skip": 1}), "skip"),
                (modeld.Sampling(top_k=1), "top_k"),
            ):
                with pytest.raises(InvalidRequestError) as refused:
                    await ask(service, prompt="The", sampling=sampling)
                assert refused.value.field == field

    asyncio.run(main())


def test_a_text_that_was_not_read_has_no_generation(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            (done,) = await ask(service, prompt="of Italy is")
            assert isinstance(done, modeld.Done)
            assert (done.content, done.finish_reason) == ("", "stop")

    asyncio.run(main())


def test_what_it_cannot_serve_is_refused_and_hurts_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            with pytest.raises(NotSupportedError) as refused:
                await ask(service, prompt="The", json_schema={})
            assert refused.value.field == "json_schema"
            assert await ask(service, prompt="The", max_tokens=1)
            (instance,) = (await service.status()).instances
            assert instance.loads_total == 1

    asyncio.run(main())


def test_it_runs_in_a_process_of_its_own_and_holds_what_it_says(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as service:
            await service.load("facts.txt")
            (instance,) = (await service.status()).instances
            assert instance.pid not in {None, os.getpid()}
            assert instance.held_bytes == len(FACTS)

    asyncio.run(main())


def test_a_killed_worker_costs_one_generation_and_the_next_is_whole(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, pause_s=0.2) as service:

            async def kill() -> None:
                (instance,) = (await service.status()).instances
                assert instance.pid is not None
                os.kill(instance.pid, signal.SIGKILL)

            with pytest.raises(WorkerCrashedError, match="SIGKILL"):
                await ask_until_first_token(service, kill)
            assert len(await ask(service, prompt="of Spain is")) == 2

    asyncio.run(main())


async def ask_until_first_token(
    service: modeld.ModelService, then: Callable[[], Awaitable[None]]
) -> None:
    """Ask for everything, and do something once the generation has begun."""
    async with aclosing(service.generate(modeld.GenerateRequest(prompt="The"))) as chunks:
        await anext(chunks)
        await then()
        async for _ in chunks:
            pass
