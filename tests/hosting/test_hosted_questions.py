# SPDX-License-Identifier: GPL-3.0-only
"""Questions to an engine over a link that the test holds the other end of."""

import asyncio

import pytest

from modeld import Done, Failed, FinishReason, Message, Token, Usage
from modeld.errors import DrainingError, InvalidRequestError, ModeldError, WorkerCrashedError
from modeld.hosting.frames import Ask, Cancel, Cancelled, Close, Command, FrameError, Sent, encode
from modeld.hosting.hosted import HostedEngine
from modeld.hosting.vectors import Vectors
from modeld.questions import (
    AnyQuestion,
    ApplyTemplateQuestion,
    DetokenizeQuestion,
    Embeddings,
    EmbedQuestion,
    Ranking,
    Reply,
    RerankQuestion,
    Text,
    TokenizeQuestion,
    Tokens,
)
from tests.hosting.test_hosted import HeldLink, an_engine

USAGE = Usage(prompt_tokens=2)
HELLO = TokenizeQuestion(text="hello")
TOKENS = Tokens(ids=(7,), pieces=(b"hello",))
EMBEDDINGS = Embeddings(vectors=((0.5, 1.0), (0.0, -1.0)), usage=USAGE)
PACKED = Vectors.pack(EMBEDDINGS)
RANKING = Ranking(scores=(1.0, 2.0), usage=USAGE)
TEXT = Text(text="hello")

PAIRS: list[tuple[AnyQuestion, Sent, Reply]] = [
    (EmbedQuestion(inputs=("a", "b")), PACKED, EMBEDDINGS),
    (RerankQuestion(query="q", documents=("a", "b")), RANKING, RANKING),
    (HELLO, TOKENS, TOKENS),
    (DetokenizeQuestion(tokens=(7,)), TEXT, TEXT),
    (ApplyTemplateQuestion(messages=(Message(role="user", content="hi"),)), TEXT, TEXT),
]
WRONG: list[Sent] = [
    PACKED,
    RANKING,
    TOKENS,
    TEXT,
    Token(text="a"),
    Done(finish_reason=FinishReason.STOP, usage=USAGE),
]


async def asking(engine: HostedEngine, question: AnyQuestion = HELLO) -> asyncio.Task[Reply]:
    """A question that is handed over."""
    task = asyncio.create_task(engine.ask(question))
    await asyncio.sleep(0)
    return task


def cancelled(link: HeldLink) -> list[Command]:
    return [command for command in link.sent if isinstance(command, Cancel)]


@pytest.mark.parametrize(("question", "sent", "reply"), PAIRS)
def test_a_question_gets_its_reply(question: AnyQuestion, sent: Sent, reply: Reply) -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link)
        task = await asking(engine, question)
        assert link.sent == [Ask(id=1, question=question)]
        link.produce(1, sent)
        assert await task == reply
        assert not engine._mailboxes
        assert not engine._watchdog.needed
        assert not cancelled(link)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("question", "right", "wrong"),
    [
        (question, right, wrong)
        for question, right, _reply in PAIRS
        for wrong in WRONG
        if type(wrong) is not type(right)
    ],
)
def test_a_reply_of_the_wrong_kind_kills_the_worker(
    question: AnyQuestion, right: Sent, wrong: Sent
) -> None:
    async def main() -> None:
        link = HeldLink()
        task = await asking(an_engine(link), question)
        link.produce(1, wrong)
        with pytest.raises(WorkerCrashedError):
            await task
        found, due = type(wrong).__name__, type(right).__name__
        assert link.killed == [(f"it sent {found} where {due} was due", "garbage")]

    asyncio.run(main())


def test_a_failed_question_raises_its_error() -> None:
    async def main() -> None:
        link = HeldLink()
        task = await asking(an_engine(link))
        link.produce(1, Failed(code="invalid_request", message="too many", field="text"))
        with pytest.raises(InvalidRequestError, match="too many") as caught:
            await task
        assert caught.value.field == "text"
        assert not cancelled(link)

    asyncio.run(main())


def test_whoever_gives_up_cancels_the_question_in_the_engine() -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link)
        task = await asking(engine)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert link.sent[-1] == Cancel(id=1)
        assert engine._watchdog.needed
        link.produce(1, TOKENS)
        link.on_report(Cancelled(id=1))
        assert not engine._watchdog.needed
        assert not engine._mailboxes
        await engine.aclose()

    asyncio.run(main())


def test_a_reply_that_came_before_the_death_counts() -> None:
    async def main() -> None:
        link = HeldLink()
        task = await asking(an_engine(link))
        link.produce(1, TOKENS)
        link.die()
        assert await task == TOKENS

    asyncio.run(main())


def test_death_fails_a_question_and_a_dead_engine_takes_none() -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link)
        task = await asking(engine)
        link.die()
        with pytest.raises(WorkerCrashedError):
            await task
        sent = len(link.sent)
        with pytest.raises(WorkerCrashedError):
            await engine.ask(HELLO)
        assert len(link.sent) == sent

    asyncio.run(main())


def test_silence_while_a_question_is_open_kills_the_worker() -> None:
    async def main() -> None:
        link = HeldLink()
        task = await asking(an_engine(link, stall_s=0.1))
        with pytest.raises(WorkerCrashedError):
            await task
        assert link.killed == [("it made no progress for 0.1 s", "stall")]

    asyncio.run(main())


def test_closing_fails_an_open_question() -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link)
        task = await asking(engine)
        await engine.aclose()
        with pytest.raises(DrainingError):
            await task
        assert Close() in link.sent

    asyncio.run(main())


def test_a_question_that_cannot_be_handed_over_leaves_nothing_behind() -> None:
    class Small(HeldLink):
        def send(self, command: Command) -> None:
            super().send(command)
            if isinstance(command, Ask):
                raise FrameError("a message of 9 bytes is over the limit of 8")

    async def main() -> None:
        link = Small()
        engine = an_engine(link)
        with pytest.raises(ModeldError, match="9 bytes is over the limit of 8") as caught:
            await engine.ask(HELLO)
        assert caught.value.code == "invalid_request"
        assert not engine._mailboxes
        assert not engine._watchdog.needed
        assert not cancelled(link)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("length", "size"), [(0, 0), (0, 8), (-1, 8), (-1, 0), (3, 8), (2, 7), (2**62, 8)]
)
def test_vectors_of_a_length_that_cannot_be_kill_the_worker(length: int, size: int) -> None:
    async def main() -> None:
        link = HeldLink()
        task = await asking(an_engine(link), EmbedQuestion(inputs=("a",)))
        link.produce(1, Vectors(numbers=bytes(size), length=length, usage=USAGE))
        with pytest.raises(WorkerCrashedError):
            await task
        why = f"it sent {size} bytes as vectors of {length} numbers"
        assert link.killed == [(why, "garbage")]

    asyncio.run(main())


def test_a_question_with_a_number_that_no_frame_holds_is_refused() -> None:
    class Encoding(HeldLink):
        def send(self, command: Command) -> None:
            encode(command)
            super().send(command)

    async def main() -> None:
        engine = an_engine(Encoding())
        with pytest.raises(InvalidRequestError, match="a number cannot be encoded"):
            await engine.ask(DetokenizeQuestion(tokens=(2**64,)))

    asyncio.run(main())
