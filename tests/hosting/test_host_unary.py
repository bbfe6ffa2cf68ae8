# SPDX-License-Identifier: GPL-3.0-only
"""Unary requests to engines in real processes and in threads."""

import asyncio
from pathlib import Path

import psutil
import pytest

from modeld import Engine, Message
from modeld.errors import (
    DrainingError,
    InternalError,
    InvalidRequestError,
    NotSupportedError,
    WorkerCrashedError,
)
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.responses import RerankResponse, TextResponse, TokenizeResponse
from tests.support.hosting.leaks import run, until
from tests.support.hosting.rigged import HOSTS, Stream, an_engine, ask, plan, tokens, unary_plan

STALL = {"stall_timeout_s": 0.3}
HI = TokenizeRequest(text="h\u00e9")


async def assert_serves(engine: Engine) -> None:
    """It is well and has a slot."""
    assert await engine.submit(HI) == TokenizeResponse(ids=(256, 104, 195, 169))


@pytest.mark.parametrize("kind", HOSTS)
def test_every_kind_of_unary_request_is_served(kind: str) -> None:
    async def main() -> None:
        async with an_engine(kind) as engine:
            await assert_serves(engine)
            written = await engine.submit(TokenizeRequest(text="h\u00e9", with_pieces=True))
            assert written == TokenizeResponse(
                ids=(256, 104, 195, 169), pieces=(b"<s>", b"h", b"\xc3", b"\xa9")
            )
            spoken = await engine.submit(DetokenizeRequest(tokens=(256, 104, 195, 169)))
            assert spoken == TextResponse(text="<s>h\u00e9")
            chat = (Message(role="user", content="hi"),)
            assert await engine.submit(ApplyTemplateRequest(messages=chat)) == TextResponse(
                text="<user>hi\n"
            )
            ranking = await engine.submit(RerankRequest(query="a b", documents=("b", "a b", "c")))
            assert isinstance(ranking, RerankResponse)
            assert ranking.scores == (1.0, 2.0, 0.0)

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_embeddings_come_in_single_precision_whatever_the_host(kind: str) -> None:
    async def main() -> None:
        async with an_engine(kind) as engine:
            texts = ("one two", " ")
            raw = await engine.submit(EmbedRequest(inputs=texts, normalize=False))
            assert raw.vectors == ((7.0, 2.0, 3.0, 1.0), (1.0, 0.0, 0.0, 1.0))  # type: ignore[union-attr]
            assert raw.usage.prompt_tokens == 8  # type: ignore[union-attr]
            unit = await engine.submit(EmbedRequest(inputs=texts))
            (first, second) = unit.vectors  # type: ignore[union-attr]
            assert first == pytest.approx([value / 63**0.5 for value in (7, 2, 3, 1)], rel=1e-7)
            assert first != tuple(value / 63**0.5 for value in (7, 2, 3, 1))
            assert second == pytest.approx([value / 2**0.5 for value in (1, 0, 0, 1)], rel=1e-7)

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_unary_requests_and_generations_run_side_by_side(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with an_engine(kind, slots=3) as engine:
            gate = str(tmp_path / "gate")
            stream = Stream(engine, plan(tokens=4, gate=gate, gate_at=1))
            await stream.came.wait()
            held = asyncio.create_task(engine.submit(unary_plan(gate=gate)))
            for _ in range(20):
                await assert_serves(engine)
            assert not held.done()
            (tmp_path / "gate").touch()
            await stream.end()
            assert stream.text == tokens(4)
            assert isinstance(await held, TokenizeResponse)

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_whoever_gives_up_frees_the_slot(kind: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def main() -> None:
        async with an_engine(kind, slots=1, journal=str(journal)) as engine:
            for nonce, script in (
                ("a", {"gate": str(tmp_path / "never")}),
                ("b", {"delay_s": 600}),
            ):
                task = asyncio.create_task(engine.submit(unary_plan(nonce=nonce, **script)))
                await until(lambda nonce=nonce: f"start {nonce}" in journal.read_text())
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled()
                await assert_serves(engine)
            assert "cancel a" in journal.read_text()

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_rule_14_a_unary_request_that_is_refused_hurts_no_other(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with an_engine(kind, slots=3) as engine:
            other = Stream(engine, plan(tokens=4, gate=str(tmp_path / "gate"), gate_at=2))
            await other.came.wait()
            with pytest.raises(InvalidRequestError, match="not this") as caught:
                await engine.submit(unary_plan(refuse="not this"))
            assert caught.value.field == "prompt"
            with pytest.raises(NotSupportedError):
                await engine.submit(unary_plan(unsupported=True))
            with pytest.raises(InternalError, match="the engine refused: RuntimeError"):
                await engine.submit(unary_plan(submit="raise"))
            (tmp_path / "gate").touch()
            await other.end()
            assert other.text == tokens(4)
            assert engine.failure() is None

    run(main())


def test_a_unary_request_that_is_too_large_or_no_text_is_refused_and_the_engine_lives_on() -> None:
    async def main() -> None:
        async with an_engine("process", STALL, slots=1) as engine:
            for text in ("x" * (65 << 20), "\ud800"):
                with pytest.raises(InvalidRequestError, match="cannot be handed to a worker"):
                    await engine.submit(TokenizeRequest(text=text))
            await assert_serves(engine)
            assert not engine._watchdog.needed  # type: ignore[attr-defined]

    run(main())


def test_a_response_that_is_too_large_is_refused_and_the_worker_lives_on() -> None:
    """The largest batch there is has room; a larger one is told so."""

    async def main() -> None:
        async with an_engine("process", slots=1) as engine:
            fits = EmbedRequest(inputs=(unary_plan(vectors=2048, dimensions=4096).text,))
            response = await engine.submit(fits)
            assert len(response.vectors) == 2048  # type: ignore[union-attr]
            assert response.vectors[-1] == (0.5,) * 4096  # type: ignore[union-attr]
            giant = EmbedRequest(inputs=(unary_plan(vectors=5000, dimensions=4096).text,))
            with pytest.raises(InvalidRequestError, match="over the limit of 67108864; ask for le"):
                await engine.submit(giant)
            await assert_serves(engine)

    run(main())


FATAL = {
    "SIGSEGV": ("signal", "signal SIGSEGV"),
    "exit 3": ("exit", "exit 3"),
    "raise": ("exit", "exit 1"),
    "hang": ("stall", "no progress for 0.3 s"),
    "garbage": ("garbage", "sent garbage"),
}


@pytest.mark.parametrize("fault", FATAL)
def test_rule_12_a_process_that_dies_or_hangs_fails_its_unary_requests(
    fault: str, tmp_path: Path
) -> None:
    cause, words = FATAL[fault]

    async def main() -> None:
        async with an_engine("process", STALL if cause == "stall" else {}, slots=2) as engine:
            other = asyncio.create_task(engine.submit(unary_plan(gate=str(tmp_path / "never"))))
            for asked in (engine.submit(unary_plan(fault=fault)), other):
                with pytest.raises(WorkerCrashedError, match=words) as caught:
                    await asked
                assert caught.value.cause == cause
            with pytest.raises(WorkerCrashedError):
                await engine.submit(HI)

    run(main())


@pytest.mark.parametrize("fault", ["raise", "SystemExit"])
def test_rule_12_a_thread_that_dies_fails_its_unary_requests(fault: str) -> None:
    async def main() -> None:
        async with an_engine("thread") as engine:
            with pytest.raises(WorkerCrashedError) as caught:
                await engine.submit(unary_plan(fault=fault))
            assert caught.value.cause == "exit"

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
@pytest.mark.parametrize("wrong", ["embeddings", "ranking", "text", "token", "done"])
def test_a_response_of_the_wrong_kind_ends_the_worker_as_garbage(kind: str, wrong: str) -> None:
    async def main() -> None:
        async with an_engine(kind) as engine:
            worker = psutil.Process(engine.pid) if engine.pid else None
            with pytest.raises(
                WorkerCrashedError, match="where TokenizeResponse was due"
            ) as caught:
                await engine.submit(unary_plan(response=wrong))
            assert caught.value.cause == "garbage"
            assert worker is None or not worker.is_running()

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_closing_an_engine_fails_its_unary_requests(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with an_engine(kind) as engine:
            asked: asyncio.Task[object] = asyncio.create_task(
                engine.submit(unary_plan(gate=str(tmp_path / "never")))
            )
            await assert_serves(engine)
            await engine.aclose()
            with pytest.raises(DrainingError):
                await asked

    run(main())


def test_an_engine_that_serves_no_unary_requests_says_so() -> None:
    from modeld_rig.plugin import RigOptions

    from tests.support.hosting.rigged import SPEC, a_hosting

    asked: list[AnyUnaryRequest] = [HI, EmbedRequest(inputs=("a",))]

    async def main() -> None:
        async with a_hosting("process") as owner:
            host = owner.engine_host(lambda _done: None)
            engine = await host.start("modeld_rig.instant:InstantEngine", SPEC, RigOptions())
            for request in asked:
                with pytest.raises(NotSupportedError, match="does not serve"):
                    await engine.submit(request)
            assert await ask(engine, tokens=1) == " token"
            await engine.aclose()

    run(main())
