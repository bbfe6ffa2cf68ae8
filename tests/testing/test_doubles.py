# SPDX-License-Identifier: GPL-3.0-only
"""What authors put in the place of models, services, clients and clocks does what it says."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from modeld import GenerateRequest, Token
from modeld.errors import WorkerCrashedError
from modeld.requests import TokenizeRequest
from modeld.responses import TokenizeResponse
from modeld.testing import (
    Clock,
    FakeService,
    ScriptedBackend,
    ScriptedEngine,
    ask,
    run,
    run_virtually,
    serving,
)
from modeld.testing.doubles.client import Leaving
from modeld.testing.doubles.virtual_time import EverybodyWaitsError, now_s
from modeld.testing.leftovers import nothing_left
from tests.testing.test_backend_contract import Quick

REQUEST = GenerateRequest(prompt="Hi")


class NoPlugin:
    pass


def test_an_engine_plays_its_script_and_notes_how_it_ended() -> None:
    async def main() -> None:
        engine = ScriptedEngine()
        assert [each async for each in engine.generate(REQUEST)][-1] == engine.script[-1]
        engine.script = (Token(text="a"), WorkerCrashedError("it broke"))
        with pytest.raises(WorkerCrashedError):
            _ = [each async for each in engine.generate(REQUEST)]
        async with aclosing(engine.generate(REQUEST)) as chunks:
            await anext(chunks)
        assert engine.ends == ["done", "failed", "left"]
        assert engine.requests == [REQUEST] * 3

    asyncio.run(main())


def test_an_engine_responds_as_it_was_told() -> None:
    async def main() -> None:
        engine = ScriptedEngine()
        engine.response = TokenizeResponse(ids=(1,))
        assert await engine.submit(TokenizeRequest(text="a")) == engine.response
        engine.response = WorkerCrashedError("it broke")
        with pytest.raises(WorkerCrashedError):
            await engine.submit(TokenizeRequest(text="a"))
        await engine.aclose()
        assert engine.is_closed

    asyncio.run(main())


def test_the_scripted_backend_is_a_backend(tmp_path: Path) -> None:
    names = [
        *("test_it_has_a_name", "test_a_load_returns_an_engine", "test_a_generation_ends_once"),
        "test_its_capabilities_are_known",
    ]
    outcomes = run(Quick(ScriptedBackend(), tmp_path), names)
    assert {each.verdict for each in outcomes} == {"passed"}


@pytest.mark.parametrize(
    ("leaves", "status", "pieces"), [("sent", 0, 0), ("head", 200, 0), (1, 200, 1), (2, 200, 2)]
)
def test_a_client_leaves_when_it_was_told_to(leaves: Leaving, status: int, pieces: int) -> None:
    async def main() -> None:
        script = (Token(text="a"), Token(text="b"), asyncio.Event())
        service = FakeService(*(script if leaves != "sent" else script[2:]))
        async with serving(NoPlugin(), service) as app:
            got = await ask(app, "POST", "/infer", body={"prompt": "Hi"}, leaves=leaves)
        assert (got.status, len(got.pieces), got.is_whole) == (status, pieces, False)
        assert set(service.ends) <= {"left"}

    asyncio.run(main())


def test_a_client_that_stays_gets_all_of_it() -> None:
    async def main() -> None:
        async with serving(NoPlugin()) as app:
            got = await ask(app, "GET", "/models?verbose=1", headers={"accept": "application/json"})
            assert got.is_whole
            models = await ask(app, "GET", "/models")
            assert "little.gguf" in models.body.decode()
            assert models.headers["content-type"] == "application/json"

    asyncio.run(main())


def test_an_application_that_does_not_watch_its_client_is_told_so() -> None:
    async def waits(scope: object, receive: object, send: object) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        with pytest.raises(AssertionError, match="after its client had left"):
            await ask(blind, "GET", "/", leaves="sent", limit_s=0.05)
        with pytest.raises(AssertionError, match="for its client"):
            await ask(waits, "GET", "/", limit_s=0.05)

    async def blind(scope: object, receive: object, send: object) -> None:
        await receive()  # type: ignore[operator]  # an ASGI server's
        await asyncio.Event().wait()

    asyncio.run(main())


def test_a_clock_moves_when_it_is_told_to() -> None:
    clock = Clock(5.0)
    clock.now_s += 2
    assert clock() == 7.0


def test_hours_pass_at_once_and_what_cannot_go_on_fails() -> None:
    async def hours() -> float:
        began_s = now_s()
        await asyncio.sleep(3600)
        return now_s() - began_s

    assert run_virtually(hours()) == pytest.approx(3600)
    with pytest.raises(EverybodyWaitsError):
        run_virtually(asyncio.Event().wait())


def test_what_is_left_behind_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeld.testing.leftovers.SETTLE_S", 0.05)

    async def main() -> None:
        async with nothing_left("nothing"):
            pass
        with pytest.raises(AssertionError, match=r"1 descriptor: .*null"):
            async with nothing_left("an open file"):
                file = Path("/dev/null").open()  # noqa: ASYNC230, SIM115  (the fault)
        file.close()
        with pytest.raises(AssertionError, match=r"1 child process: .*sleep"):
            async with nothing_left("a process"):
                process = await asyncio.create_subprocess_exec("sleep", "60")
        process.kill()
        await process.wait()

    asyncio.run(main())
