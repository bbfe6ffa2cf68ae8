# SPDX-License-Identifier: GPL-3.0-only
"""Unary requests to an engine over a link that the test holds the other end of."""

import asyncio

import pytest

from modeld import Done, Failed, FinishReason, Message, Token, Usage
from modeld.errors import DrainingError, InvalidRequestError, ModeldError, WorkerCrashedError
from modeld.hosting.channel.frames import (
    Cancel,
    Cancelled,
    Close,
    Command,
    FrameError,
    Sent,
    Submit,
    encode,
)
from modeld.hosting.channel.vectors import Vectors
from modeld.hosting.hosted import HostedEngine
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.responses import (
    AnyUnaryResponse,
    EmbedResponse,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
)
from tests.hosting.test_hosted import HeldLink, an_engine

USAGE = Usage(prompt_tokens=2)
HELLO = TokenizeRequest(text="hello")
TOKENS = TokenizeResponse(ids=(7,), pieces=(b"hello",))
EMBEDDINGS = EmbedResponse(vectors=((0.5, 1.0), (0.0, -1.0)), usage=USAGE)
PACKED = Vectors.pack(EMBEDDINGS)
RANKING = RerankResponse(scores=(1.0, 2.0), usage=USAGE)
TEXT = TextResponse(text="hello")

PAIRS: list[tuple[AnyUnaryRequest, Sent, AnyUnaryResponse]] = [
    (EmbedRequest(inputs=("a", "b")), PACKED, EMBEDDINGS),
    (RerankRequest(query="q", documents=("a", "b")), RANKING, RANKING),
    (HELLO, TOKENS, TOKENS),
    (DetokenizeRequest(tokens=(7,)), TEXT, TEXT),
    (ApplyTemplateRequest(messages=(Message(role="user", content="hi"),)), TEXT, TEXT),
]
WRONG: list[Sent] = [
    PACKED,
    RANKING,
    TOKENS,
    TEXT,
    Token(text="a"),
    Done(finish_reason=FinishReason.STOP, usage=USAGE),
]


async def asking(
    engine: HostedEngine, request: AnyUnaryRequest = HELLO
) -> asyncio.Task[AnyUnaryResponse]:
    """Return a request that is handed over."""
    task = asyncio.create_task(engine.submit(request))
    await asyncio.sleep(0)
    return task


def cancelled(link: HeldLink) -> list[Command]:
    return [command for command in link.sent if isinstance(command, Cancel)]


@pytest.mark.parametrize(("unary", "sent", "response"), PAIRS)
def test_a_unary_request_gets_its_response(
    unary: AnyUnaryRequest, sent: Sent, response: AnyUnaryResponse
) -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link)
        task = await asking(engine, unary)
        assert link.sent == [Submit(id=1, request=unary)]
        link.produce(1, sent)
        assert await task == response
        assert not engine._mailboxes
        assert not engine._watchdog.needed
        assert not cancelled(link)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("unary", "right", "wrong"),
    [
        (unary, right, wrong)
        for unary, right, _response in PAIRS
        for wrong in WRONG
        if type(wrong) is not type(right)
    ],
)
def test_a_response_of_the_wrong_kind_kills_the_worker(
    unary: AnyUnaryRequest, right: Sent, wrong: Sent
) -> None:
    async def main() -> None:
        link = HeldLink()
        task = await asking(an_engine(link), unary)
        link.produce(1, wrong)
        with pytest.raises(WorkerCrashedError):
            await task
        found, due = type(wrong).__name__, type(right).__name__
        assert link.killed == [(f"it sent {found} where {due} was due", "garbage")]

    asyncio.run(main())


def test_a_failed_unary_request_raises_its_error() -> None:
    async def main() -> None:
        link = HeldLink()
        task = await asking(an_engine(link))
        link.produce(1, Failed(code="invalid_request", message="too many", field="text"))
        with pytest.raises(InvalidRequestError, match="too many") as caught:
            await task
        assert caught.value.field == "text"
        assert not cancelled(link)

    asyncio.run(main())


def test_whoever_gives_up_cancels_the_unary_request_in_the_engine() -> None:
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


def test_a_response_that_came_before_the_death_counts() -> None:
    async def main() -> None:
        link = HeldLink()
        task = await asking(an_engine(link))
        link.produce(1, TOKENS)
        link.die()
        assert await task == TOKENS

    asyncio.run(main())


def test_death_fails_a_unary_request_and_a_dead_engine_takes_none() -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link)
        task = await asking(engine)
        link.die()
        with pytest.raises(WorkerCrashedError):
            await task
        sent = len(link.sent)
        with pytest.raises(WorkerCrashedError):
            await engine.submit(HELLO)
        assert len(link.sent) == sent

    asyncio.run(main())


def test_silence_while_a_unary_request_is_open_kills_the_worker() -> None:
    async def main() -> None:
        link = HeldLink()
        task = await asking(an_engine(link, stall_s=0.1))
        with pytest.raises(WorkerCrashedError):
            await task
        assert link.killed == [("it made no progress for 0.1 s", "stall")]

    asyncio.run(main())


def test_closing_fails_an_open_unary_request() -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link)
        task = await asking(engine)
        await engine.aclose()
        with pytest.raises(DrainingError):
            await task
        assert Close() in link.sent

    asyncio.run(main())


def test_a_unary_request_that_cannot_be_handed_over_leaves_nothing_behind() -> None:
    class Small(HeldLink):
        def send(self, command: Command) -> None:
            super().send(command)
            if isinstance(command, Submit):
                raise FrameError("a message of 9 bytes is over the limit of 8")

    async def main() -> None:
        link = Small()
        engine = an_engine(link)
        with pytest.raises(ModeldError, match="9 bytes is over the limit of 8") as caught:
            await engine.submit(HELLO)
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
        task = await asking(an_engine(link), EmbedRequest(inputs=("a",)))
        link.produce(1, Vectors(numbers=bytes(size), length=length, usage=USAGE))
        with pytest.raises(WorkerCrashedError):
            await task
        why = f"it sent {size} bytes as vectors of {length} numbers"
        assert link.killed == [(why, "garbage")]

    asyncio.run(main())


def test_a_unary_request_with_a_number_that_no_frame_holds_is_refused() -> None:
    class Encoding(HeldLink):
        def send(self, command: Command) -> None:
            encode(command)
            super().send(command)

    async def main() -> None:
        engine = an_engine(Encoding())
        with pytest.raises(InvalidRequestError, match="a number cannot be encoded"):
            await engine.submit(DetokenizeRequest(tokens=(2**64,)))

    asyncio.run(main())
