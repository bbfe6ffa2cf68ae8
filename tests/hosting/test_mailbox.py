# SPDX-License-Identifier: GPL-3.0-only
import asyncio

import pytest

from modeld import Token
from modeld.errors import ClientTooSlowError
from modeld.hosting import mailbox
from modeld.hosting.mailbox import Mailbox
from modeld.questions import Text
from modeld.values import LikelyToken, TokenLogprobs

ONE = TokenLogprobs(chosen=LikelyToken(id=1, piece=b"a", logprob=-1.0))
LIGHT = Token(text="a")
HEAVY = Token(text="a", logprobs=(ONE, ONE))


@pytest.fixture(autouse=True)
def _little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "MAX_WAITING_CHUNKS", 6)


def taken(box: Mailbox) -> list[object]:
    return [box.take() for _ in range(len(box.chunks))]


def test_logprobs_that_wait_count_as_chunks_do() -> None:
    async def main() -> None:
        box = Mailbox()
        for chunk in (HEAVY, HEAVY, HEAVY, LIGHT):
            box.put(chunk)
        assert taken(box) == [HEAVY, HEAVY], "after a hole there comes nothing more"
        with pytest.raises(ClientTooSlowError):
            await box.wait()

    asyncio.run(main())


def test_whoever_takes_what_comes_may_get_as_many_logprobs_as_there_are() -> None:
    async def main() -> None:
        box = Mailbox()
        box.put(HEAVY)
        for _ in range(100):
            box.put(HEAVY)
            await box.wait()
            assert box.take() == HEAVY
        assert box.take() == HEAVY
        for chunk in (*[LIGHT] * 5, Text(text="end")):
            box.put(chunk)
        assert taken(box) == [*[LIGHT] * 5, Text(text="end")], "none of them still counts"

    asyncio.run(main())
