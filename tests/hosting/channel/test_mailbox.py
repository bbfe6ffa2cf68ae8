# SPDX-License-Identifier: GPL-3.0-only
import asyncio

import pytest

from modeld import Done, FinishReason, Token, Usage
from modeld.errors import DrainingError, InternalError
from modeld.hosting.channel.credit import CHUNK_COST, GRANT, cost
from modeld.hosting.channel.frames import Sent
from modeld.hosting.channel.mailbox import Mailbox
from modeld.responses import Piece

DONE = Done(finish_reason=FinishReason.STOP, usage=Usage())
A = Token(text="a")


class Opened:
    """A mailbox whose engine was told, and what it has called."""

    def __init__(self) -> None:
        self.granted: list[int] = []
        self.ends: list[Sent] = []
        self.box = Mailbox(self.granted.append, self.ends.append)
        self.box.is_open = True

    def taken(self) -> list[Sent]:
        return [self.box.take() for _ in range(len(self.box.chunks))]


def test_what_is_taken_is_granted_again_now_and_then() -> None:
    opened = Opened()
    count = 3 * GRANT // cost(A)
    for _ in range(count):
        opened.box.put(A)
    assert opened.granted == []

    opened.taken()

    assert len(opened.granted) == 2
    assert all(GRANT <= amount < GRANT + CHUNK_COST + 1 for amount in opened.granted)


def test_nothing_is_granted_to_what_has_ended() -> None:
    opened = Opened()
    for _ in range(3 * GRANT // cost(A)):
        opened.box.put(A)
    opened.box.put(DONE)

    opened.taken()

    assert opened.granted == []


def test_the_end_is_told_when_it_comes_and_nothing_follows_it() -> None:
    opened = Opened()
    for chunk in (A, DONE, Token(text="ghost"), DONE):
        opened.box.put(chunk)

    assert opened.ends == [DONE]
    assert not opened.box.is_open
    assert opened.taken() == [A, DONE]


def test_what_came_before_a_failure_can_be_taken_and_nothing_follows() -> None:
    async def main() -> None:
        opened = Opened()
        opened.box.put(A)
        opened.box.fail(DrainingError("the end"))
        opened.box.put(A)
        await opened.box.wait()
        assert opened.taken() == [A]
        with pytest.raises(DrainingError):
            await opened.box.wait()

    asyncio.run(main())


class Waiting(Opened):
    """A mailbox whose task waits, and that has its pieces taken until told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.takes = True
        self.direct: list[Piece] = []
        self.box.take_piece = self.take
        self.task = asyncio.ensure_future(self.box.wait())

    def take(self, piece: Piece) -> bool:
        if self.takes:
            self.direct.append(piece)
        return self.takes


def test_a_piece_that_the_task_waits_for_is_taken_without_waking_it() -> None:
    async def main() -> None:
        waiting = Waiting()
        await asyncio.sleep(0)
        waiting.box.hand_over(A)
        await asyncio.sleep(0)
        assert waiting.direct == [A]
        assert not waiting.task.done()
        waiting.box.hand_over(DONE)
        await waiting.task
        assert waiting.taken() == [DONE]

    asyncio.run(main())


def test_no_piece_overtakes_another() -> None:
    async def main() -> None:
        waiting = Waiting()
        waiting.box.hand_over(A)  # nobody waits yet
        await waiting.task
        waiting.takes = False
        again = asyncio.ensure_future(waiting.box.wait())
        assert waiting.taken() == [A]
        await asyncio.sleep(0)
        waiting.box.hand_over(Token(text="b"))
        waiting.takes = True
        waiting.box.hand_over(Token(text="c"))  # the task is being woken for the one before
        await again
        assert waiting.direct == []
        assert waiting.taken() == [Token(text="b"), Token(text="c")]

    asyncio.run(main())


def test_what_is_taken_at_once_is_granted_again_too() -> None:
    async def main() -> None:
        waiting = Waiting()
        await asyncio.sleep(0)
        for _ in range(GRANT // cost(A) + 1):
            waiting.box.hand_over(A)
        assert len(waiting.granted) == 1
        waiting.task.cancel()

    asyncio.run(main())


def test_a_taker_that_raises_fails_its_own_stream() -> None:
    def broken(_piece: Piece) -> bool:
        raise OSError("no way out")

    async def main() -> None:
        waiting = Waiting()
        waiting.box.take_piece = broken
        await asyncio.sleep(0)
        waiting.box.hand_over(A)
        waiting.box.hand_over(A)
        with pytest.raises(InternalError, match="no way out"):
            await waiting.task
        assert waiting.taken() == []

    asyncio.run(main())
