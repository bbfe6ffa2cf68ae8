# SPDX-License-Identifier: GPL-3.0-only
import asyncio

import pytest

from modeld import Done, FinishReason, Token, Usage
from modeld.errors import DrainingError
from modeld.hosting.channel.credit import CHUNK_COST, GRANT, cost
from modeld.hosting.channel.frames import Sent
from modeld.hosting.channel.mailbox import Mailbox

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
