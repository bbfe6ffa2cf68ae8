# SPDX-License-Identifier: GPL-3.0-only
"""An engine over a link that the test holds the other end of."""

import asyncio
from collections.abc import Sequence

import pytest

from modeld import Chunk, Done, Failed, FinishReason, GenerateRequest, Token, Usage
from modeld.errors import ModeldError, PromptTooLongError, WorkerCrashedError
from modeld.hosting.channel.credit import CHUNK_COST, GRANT
from modeld.hosting.channel.frames import (
    Cancel,
    Cancelled,
    Close,
    Command,
    Credit,
    Prepared,
    Sent,
    Stepped,
    Submit,
)
from modeld.hosting.channel.link import Link
from modeld.hosting.hosted import CHUNKS_PER_TURN, HostedEngine
from modeld.responses import Piece, TextResponse

DONE = Done(finish_reason=FinishReason.STOP, usage=Usage())
HELLO = GenerateRequest(prompt="hello")


class HeldLink(Link):
    """Keeps what is sent; the test reports and dies for the worker."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Command] = []
        self.killed: list[tuple[str, str]] = []

    def send(self, command: Command) -> None:
        self.sent.append(command)

    def kill(self, why: str, cause: str) -> None:
        self.killed.append((why, cause))
        self.die()

    async def aclose(self) -> None:
        self.die()

    async def discard(self) -> None:
        self.die()

    def die(self) -> None:
        if not self.exited.done():
            self.exited.set_result(WorkerCrashedError("the worker ended"))

    def produce(self, request_id: int, *chunks: Sent) -> None:
        self.on_report(Stepped(chunks=tuple((request_id, chunk) for chunk in chunks)))


def an_engine(link: Link, *, stall_s: float = 60.0) -> HostedEngine:
    return HostedEngine(
        link,
        slots=2,
        held_bytes=0,
        held_on_gpus={},
        stall_timeout_s=stall_s,
        cancel_timeout_s=60.0,
    )


def words(*texts: str) -> list[Token]:
    return [Token(text=text) for text in texts]


class Reader:
    """A client that takes chunks when the test says so."""

    def __init__(self, engine: HostedEngine) -> None:
        self.chunks = engine.generate(HELLO)
        self.taken: list[Chunk] = []

    async def begin(self) -> None:
        self._first = asyncio.ensure_future(anext(self.chunks))
        await asyncio.sleep(0)

    async def all(self) -> Sequence[Chunk]:
        """Return the rest of the response."""
        self.taken.append(await self._first)
        return await self.rest()

    async def rest(self) -> Sequence[Chunk]:
        async with asyncio.timeout(5):
            async for chunk in self.chunks:
                self.taken.append(chunk)
        return self.taken


def test_each_request_has_an_id_of_its_own_and_gets_its_own_chunks() -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link)
        first, second = Reader(engine), Reader(engine)
        await first.begin()
        await second.begin()
        ids = [command.id for command in link.sent if isinstance(command, Submit)]
        assert len(set(ids)) == 2
        link.produce(ids[0], Token(text="a"))
        link.produce(ids[1], Token(text="b"), DONE)
        link.produce(ids[0], DONE)
        assert await first.all() == [*words("a"), DONE]
        assert await second.all() == [*words("b"), DONE]
        assert not engine._mailboxes
        assert not [command for command in link.sent if isinstance(command, Cancel)]

    asyncio.run(main())


def test_pieces_are_taken_as_they_come_while_the_link_keeps_up() -> None:
    async def main() -> None:
        link = HeldLink()
        taken: list[Piece] = []

        def take(piece: Piece) -> bool:
            taken.append(piece)
            return True

        chunks = an_engine(link).stream_to(HELLO, lambda _end: None, take)
        end = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        link.produce(1, *words("a", "b"))
        assert taken == words("a", "b")  # before anybody else had a turn
        link.is_behind = True
        link.produce(1, *words("c", "d"))
        assert taken == words("a", "b")
        await asyncio.sleep(0)
        assert taken == words("a", "b", "c", "d")
        link.produce(1, DONE)
        assert await end == DONE
        assert [each async for each in chunks] == []

    asyncio.run(main())


def test_a_piece_that_is_refused_is_offered_once() -> None:
    async def main() -> None:
        link = HeldLink()
        offered: list[Piece] = []

        def take(piece: Piece) -> bool:
            offered.append(piece)
            return piece not in words("a", "c")

        chunks = an_engine(link).stream_to(HELLO, lambda _end: None, take)
        first = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        link.produce(1, *words("a", "b"))
        link.produce(1, *words("c"), DONE)
        assert [await first, *[each async for each in chunks]] == [*words("a", "c"), DONE]
        assert offered == words("a", "b", "c")

    asyncio.run(main())


def test_others_have_a_turn_while_a_heap_of_pieces_is_taken() -> None:
    async def main() -> None:
        link = HeldLink()
        taken: list[Piece] = []

        def take(piece: Piece) -> bool:
            taken.append(piece)
            return True

        chunks = an_engine(link).stream_to(HELLO, lambda _end: None, take)
        end = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        link.is_behind = True
        link.produce(1, *words("a") * 3 * CHUNKS_PER_TURN, DONE)
        await asyncio.sleep(0)
        assert len(taken) == CHUNKS_PER_TURN
        assert await end == DONE
        assert len(taken) == 3 * CHUNKS_PER_TURN
        await chunks.aclose()

    asyncio.run(main())


def test_nothing_follows_the_end() -> None:
    async def main() -> None:
        link = HeldLink()
        reader = Reader(an_engine(link))
        await reader.begin()
        link.produce(1, Token(text="a"), DONE, Token(text="ghost"), DONE)
        assert await reader.all() == [*words("a"), DONE]

    asyncio.run(main())


def test_a_failed_request_raises_its_error() -> None:
    async def main() -> None:
        link = HeldLink()
        reader = Reader(an_engine(link))
        await reader.begin()
        link.produce(1, Failed(code="prompt_too_long", message="9 over 8", field="prompt"))
        with pytest.raises(PromptTooLongError, match="9 over 8") as caught:
            await reader.all()
        assert caught.value.field == "prompt"
        assert not [command for command in link.sent if isinstance(command, Cancel)]

    asyncio.run(main())


def test_what_was_produced_before_the_death_is_delivered_before_the_error() -> None:
    async def main() -> None:
        link = HeldLink()
        reader = Reader(an_engine(link))
        await reader.begin()
        link.produce(1, *words("a", "b"))
        link.die()
        with pytest.raises(WorkerCrashedError):
            await reader.all()
        assert reader.taken == words("a", "b")

    asyncio.run(main())


def test_what_comes_while_its_client_is_busy_is_delivered_before_the_error_too() -> None:
    async def main() -> None:
        link = HeldLink()
        reader = Reader(an_engine(link))
        await reader.begin()
        link.produce(1, Token(text="a"))
        reader.taken.append(await reader._first)
        link.produce(1, Token(text="b"))
        link.die()
        with pytest.raises(WorkerCrashedError):
            await reader.rest()
        assert reader.taken == words("a", "b")

    asyncio.run(main())


def test_a_stream_that_was_done_before_the_death_is_done() -> None:
    async def main() -> None:
        link = HeldLink()
        reader = Reader(an_engine(link))
        await reader.begin()
        link.produce(1, Token(text="a"), DONE)
        link.die()
        assert await reader.all() == [*words("a"), DONE]

    asyncio.run(main())


def test_a_dead_engine_takes_no_request() -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link)
        link.die()
        with pytest.raises(WorkerCrashedError):
            await anext(engine.generate(HELLO))
        assert link.sent == []

    asyncio.run(main())


def test_the_worker_is_told_how_much_was_taken() -> None:
    async def main() -> None:
        link = HeldLink()
        reader = Reader(an_engine(link))
        await reader.begin()
        piece = Token(text="a" * (GRANT - CHUNK_COST))
        link.produce(1, piece, piece, piece)
        reader.taken.append(await reader._first)
        assert link.sent[1:] == [Credit(id=1, amount=GRANT)]
        reader.taken.append(await anext(reader.chunks))
        assert link.sent[1:] == [Credit(id=1, amount=GRANT)] * 2
        link.produce(1, DONE)
        assert len(await reader.rest()) == 4
        assert link.sent[1:] == [Credit(id=1, amount=GRANT)] * 2, "it has ended"

    asyncio.run(main())


def test_a_client_that_is_slow_to_take_the_rest_keeps_neither_a_slot_nor_a_watch() -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link)
        ends: list[object] = []
        chunks = engine.stream(HELLO, ends.append)
        first = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        link.produce(1, *words("a", "b"))
        assert await first == Token(text="a")
        assert engine._watchdog.needed
        link.produce(1, DONE)
        await asyncio.sleep(0)
        assert ends == [DONE]
        assert not engine._watchdog.needed, "the worker has nothing to do"
        link.die()
        assert [chunk async for chunk in chunks] == [*words("b"), DONE]
        assert not [command for command in link.sent if isinstance(command, Cancel)]

    asyncio.run(main())


def test_who_leaves_after_the_end_has_nothing_to_cancel() -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link)
        reader = Reader(engine)
        await reader.begin()
        link.produce(1, *words("a", "b"), DONE)
        await reader._first
        await reader.chunks.aclose()
        assert not [command for command in link.sent if isinstance(command, Cancel)]
        await engine.aclose()

    asyncio.run(main())


def test_an_owner_that_fails_at_the_end_hurts_no_stream() -> None:
    def fail(_end: object) -> None:
        raise ZeroDivisionError("not the channel's fault")

    async def main() -> None:
        complaints: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: complaints.append(context["exception"]))
        link = HeldLink()
        chunks = an_engine(link).stream(HELLO, fail)
        first = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        link.produce(1, DONE)
        assert await first == DONE
        assert [type(each) for each in complaints] == [ZeroDivisionError]

    asyncio.run(main())


def test_leaving_sends_a_cancellation_that_is_watched() -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link)
        reader = Reader(engine)
        await reader.begin()
        link.produce(1, Token(text="a"))
        await reader._first
        await reader.chunks.aclose()
        assert link.sent[-1] == Cancel(id=1)
        assert engine._watchdog.needed
        link.on_report(Cancelled(id=1))
        assert not engine._watchdog.needed
        link.produce(1, Token(text="late"))
        await engine.aclose()

    asyncio.run(main())


def test_a_request_that_cannot_be_handed_over_leaves_nothing_behind() -> None:
    class Broken(HeldLink):
        def send(self, command: Command) -> None:
            super().send(command)
            if isinstance(command, Submit):
                raise UnicodeError("this cannot be encoded")

    async def main() -> None:
        engine = an_engine(Broken())
        with pytest.raises((ValueError, ModeldError)):
            await anext(engine.generate(HELLO))
        assert not engine._mailboxes
        assert not engine._watchdog.needed

    asyncio.run(main())


def test_a_unary_response_to_a_request_for_text_kills_the_worker_after_what_came_before() -> None:
    async def main() -> None:
        link = HeldLink()
        reader = Reader(an_engine(link))
        await reader.begin()
        link.produce(1, Token(text="a"), TextResponse(text="b"))
        with pytest.raises(WorkerCrashedError):
            await reader.all()
        assert reader.taken == words("a")
        assert link.killed == [("it sent TextResponse where Done was due", "garbage")]
        assert not [command for command in link.sent if isinstance(command, Cancel)]

    asyncio.run(main())


def test_silence_while_a_request_runs_kills_the_worker() -> None:
    async def main() -> None:
        link = HeldLink()
        reader = Reader(an_engine(link, stall_s=0.1))
        await reader.begin()
        with pytest.raises(WorkerCrashedError):
            await reader.all()
        assert link.killed == [("it made no progress for 0.1 s", "stall")]

    asyncio.run(main())


def test_silence_while_nothing_runs_kills_nobody() -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link, stall_s=0.05)
        reader = Reader(engine)
        await reader.begin()
        link.produce(1, DONE)
        assert await reader.all() == [DONE]
        engine._watchdog._check()
        assert engine._watchdog._tick is None, "with nothing to watch nobody looks"
        assert link.killed == []

    asyncio.run(main())


def test_a_report_that_makes_no_sense_now_kills_the_worker() -> None:
    async def main() -> None:
        link = HeldLink()
        an_engine(link)
        link.on_report(Prepared())
        assert link.killed == [("it sent Prepared while serving", "garbage")]

    asyncio.run(main())


def test_closing_says_so_and_fails_what_runs() -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link)
        reader = Reader(engine)
        await reader.begin()
        await engine.aclose()
        with pytest.raises(ModeldError, match="is shutting down") as caught:
            await reader.all()
        assert caught.value.code == "draining"
        assert Close() in link.sent
        assert engine.log_tail() == ()

    asyncio.run(main())


def test_many_may_wait_for_the_end_and_one_who_gives_up_changes_nothing() -> None:
    async def main() -> None:
        link = HeldLink()
        engine = an_engine(link)
        waiting = [asyncio.create_task(engine.wait_exited()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait([waiting[0]])
        link.die()
        assert (await asyncio.gather(*waiting[1:])) == [link.exited.result()] * 2

    asyncio.run(main())
