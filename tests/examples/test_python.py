# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio

import pytest

from modeld import Message
from modeld.errors import QueueFullError
from tests.examples.test_mount import example
from tests.support.http.fake_service import FakeService
from tests.support.pythonapi import blocking, scripted


def test_a_script_holds_a_chat(capsys: pytest.CaptureFixture[str]) -> None:
    service = FakeService()
    with blocking(service) as models:
        held = example("python_blocking").chat(models, "m", ["hi", "and?"])
    turn = Message(role="assistant", content="ab")
    asked = [Message(role="user", content=text) for text in ("hi", "and?")]
    assert held == [asked[0], turn, asked[1], turn]
    assert service.requests[-1].messages == tuple(held[:3])
    assert capsys.readouterr().out == "ab\nab\n"


def test_prompts_are_sent_at_once_and_a_refusal_is_said() -> None:
    async def main() -> None:
        service = FakeService()
        async with scripted(service) as models:
            generations = example("python_async").generations
            assert await generations(models, "m", ["one", "two"]) == ["ab", "ab"]
            service.script = (QueueFullError("too many"),)
            assert await generations(models, "m", ["one"]) == ["queue_full: too many"]

    asyncio.run(main())
