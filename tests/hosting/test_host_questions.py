# SPDX-License-Identifier: GPL-3.0-only
"""Questions to engines in real processes and in threads."""

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
from modeld.questions import (
    AnyQuestion,
    ApplyTemplateQuestion,
    DetokenizeQuestion,
    EmbedQuestion,
    Ranking,
    RerankQuestion,
    Text,
    TokenizeQuestion,
    Tokens,
)
from tests.hosting.leaks import run, until
from tests.hosting.rigged import HOSTS, Stream, an_engine, ask, plan, plan_to_ask, tokens

STALL = {"stall_timeout_s": 0.3}
HI = TokenizeQuestion(text="h\u00e9")


async def answers(engine: Engine) -> None:
    """It is well and has a slot."""
    assert await engine.ask(HI) == Tokens(ids=(256, 104, 195, 169))


@pytest.mark.parametrize("kind", HOSTS)
def test_every_kind_of_question_is_answered(kind: str) -> None:
    async def main() -> None:
        async with an_engine(kind) as engine:
            await answers(engine)
            written = await engine.ask(TokenizeQuestion(text="h\u00e9", with_pieces=True))
            assert written == Tokens(
                ids=(256, 104, 195, 169), pieces=(b"<s>", b"h", b"\xc3", b"\xa9")
            )
            spoken = await engine.ask(DetokenizeQuestion(tokens=(256, 104, 195, 169)))
            assert spoken == Text(text="<s>h\u00e9")
            chat = (Message(role="user", content="hi"),)
            assert await engine.ask(ApplyTemplateQuestion(messages=chat)) == Text(text="<user>hi\n")
            ranking = await engine.ask(RerankQuestion(query="a b", documents=("b", "a b", "")))
            assert isinstance(ranking, Ranking)
            assert ranking.scores == (1.0, 2.0, 0.0)

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_embeddings_come_in_single_precision_whatever_the_host(kind: str) -> None:
    async def main() -> None:
        async with an_engine(kind) as engine:
            texts = ("one two", "")
            raw = await engine.ask(EmbedQuestion(inputs=texts, normalize=False))
            assert raw.vectors == ((7.0, 2.0, 3.0, 1.0), (0.0, 0.0, 0.0, 1.0))  # type: ignore[union-attr]
            assert raw.usage.prompt_tokens == 7  # type: ignore[union-attr]
            unit = await engine.ask(EmbedQuestion(inputs=texts))
            (first, second) = unit.vectors  # type: ignore[union-attr]
            assert first == pytest.approx([value / 63**0.5 for value in (7, 2, 3, 1)], rel=1e-7)
            assert first != tuple(value / 63**0.5 for value in (7, 2, 3, 1))
            assert second == (0.0, 0.0, 0.0, 1.0)
            assert (await engine.ask(EmbedQuestion(inputs=()))).vectors == ()  # type: ignore[union-attr]

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_questions_and_requests_run_side_by_side(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with an_engine(kind, slots=3) as engine:
            gate = str(tmp_path / "gate")
            stream = Stream(engine, plan(tokens=4, gate=gate, gate_at=1))
            await stream.came.wait()
            held = asyncio.create_task(engine.ask(plan_to_ask(gate=gate)))
            for _ in range(20):
                await answers(engine)
            assert not held.done()
            (tmp_path / "gate").touch()
            await stream.end()
            assert stream.text == tokens(4)
            assert isinstance(await held, Tokens)

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
                task = asyncio.create_task(engine.ask(plan_to_ask(nonce=nonce, **script)))
                await until(lambda nonce=nonce: f"start {nonce}" in journal.read_text())
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled()
                await answers(engine)
            assert "cancel a" in journal.read_text()

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_rule_14_a_question_that_is_refused_hurts_no_other(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with an_engine(kind, slots=3) as engine:
            other = Stream(engine, plan(tokens=4, gate=str(tmp_path / "gate"), gate_at=2))
            await other.came.wait()
            with pytest.raises(InvalidRequestError, match="not this") as caught:
                await engine.ask(plan_to_ask(refuse="not this"))
            assert caught.value.field == "prompt"
            with pytest.raises(NotSupportedError):
                await engine.ask(plan_to_ask(unsupported=True))
            with pytest.raises(InternalError, match="the engine refused: RuntimeError"):
                await engine.ask(plan_to_ask(submit="raise"))
            (tmp_path / "gate").touch()
            await other.end()
            assert other.text == tokens(4)
            assert engine.failure() is None

    run(main())


def test_a_question_that_is_too_large_or_no_text_is_refused_and_the_engine_lives_on() -> None:
    async def main() -> None:
        async with an_engine("process", STALL, slots=1) as engine:
            for text in ("x" * (65 << 20), "\ud800"):
                with pytest.raises(InvalidRequestError, match="cannot be handed to a worker"):
                    await engine.ask(TokenizeQuestion(text=text))
            await answers(engine)
            assert not engine._watchdog.needed  # type: ignore[attr-defined]

    run(main())


def test_a_reply_that_is_too_large_is_refused_and_the_worker_lives_on() -> None:
    """The largest batch there is has room; a larger one is told so."""

    async def main() -> None:
        async with an_engine("process", slots=1) as engine:
            fits = EmbedQuestion(inputs=(plan_to_ask(vectors=2048, dimensions=4096).text,))
            reply = await engine.ask(fits)
            assert len(reply.vectors) == 2048  # type: ignore[union-attr]
            assert reply.vectors[-1] == (0.5,) * 4096  # type: ignore[union-attr]
            giant = EmbedQuestion(inputs=(plan_to_ask(vectors=5000, dimensions=4096).text,))
            with pytest.raises(InvalidRequestError, match="over the limit of 67108864; ask for le"):
                await engine.ask(giant)
            await answers(engine)

    run(main())


FATAL = {
    "SIGSEGV": ("signal", "signal SIGSEGV"),
    "exit 3": ("exit", "exit 3"),
    "raise": ("exit", "exit 1"),
    "hang": ("stall", "no progress for 0.3 s"),
    "garbage": ("garbage", "sent garbage"),
}


@pytest.mark.parametrize("fault", FATAL)
def test_rule_12_a_process_that_dies_or_hangs_fails_its_questions(
    fault: str, tmp_path: Path
) -> None:
    cause, words = FATAL[fault]

    async def main() -> None:
        async with an_engine("process", STALL if cause == "stall" else {}, slots=2) as engine:
            other = asyncio.create_task(engine.ask(plan_to_ask(gate=str(tmp_path / "never"))))
            for asked in (engine.ask(plan_to_ask(fault=fault)), other):
                with pytest.raises(WorkerCrashedError, match=words) as caught:
                    await asked
                assert caught.value.cause == cause
            with pytest.raises(WorkerCrashedError):
                await engine.ask(HI)

    run(main())


@pytest.mark.parametrize("fault", ["raise", "SystemExit"])
def test_rule_12_a_thread_that_dies_fails_its_questions(fault: str) -> None:
    async def main() -> None:
        async with an_engine("thread") as engine:
            with pytest.raises(WorkerCrashedError) as caught:
                await engine.ask(plan_to_ask(fault=fault))
            assert caught.value.cause == "exit"

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
@pytest.mark.parametrize("wrong", ["embeddings", "ranking", "text", "token", "done"])
def test_a_reply_of_the_wrong_kind_ends_the_worker_as_garbage(kind: str, wrong: str) -> None:
    async def main() -> None:
        async with an_engine(kind) as engine:
            worker = psutil.Process(engine.pid) if engine.pid else None
            with pytest.raises(WorkerCrashedError, match="where Tokens was due") as caught:
                await engine.ask(plan_to_ask(reply=wrong))
            assert caught.value.cause == "garbage"
            assert worker is None or not worker.is_running()

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_closing_an_engine_fails_its_questions(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with an_engine(kind) as engine:
            asked: asyncio.Task[object] = asyncio.create_task(
                engine.ask(plan_to_ask(gate=str(tmp_path / "never")))
            )
            await answers(engine)
            await engine.aclose()
            with pytest.raises(DrainingError):
                await asked

    run(main())


def test_an_engine_that_answers_no_questions_says_so() -> None:
    from modeld_rig.plugin import RigOptions

    from tests.hosting.rigged import SPEC, a_hosting

    asked: list[AnyQuestion] = [HI, EmbedQuestion(inputs=("a",))]

    async def main() -> None:
        async with a_hosting("process") as owner:
            host = owner.engine_host(lambda _done: None)
            engine = await host.start("modeld_rig.instant:InstantEngine", SPEC, RigOptions())
            for question in asked:
                with pytest.raises(NotSupportedError, match="no answer to"):
                    await engine.ask(question)
            assert await ask(engine, tokens=1) == " token"
            await engine.aclose()

    run(main())
