# SPDX-License-Identifier: GPL-3.0-only
"""A pull that was cancelled is no pull that somebody else may share."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from modeld_pull.errors import PullCancelledError
from modeld_pull.progress import Show
from modeld_pull.reference import HubReference, Reference
from modeld_pull.server.pulls import Pulls
from modeld_pull.settings import PullSettings

from modeld import Settings
from modeld.testing.doubles.fake_service import FakeService

REFERENCE = HubReference(repository="a/b")
SETTINGS = Settings(plugins=(PullSettings(at_once=1),))


def test_who_asks_for_a_pull_that_is_being_cancelled_gets_another(monkeypatch) -> None:
    async def never(_reference: Reference, _settings: Settings, _show: Show) -> list[Path]:
        await asyncio.Event().wait()
        return []

    async def main() -> None:
        pulls = Pulls(SETTINGS, FakeService())
        async with pulls.opened():
            first = await pulls.start(REFERENCE)
            assert await pulls.start(REFERENCE) is first
            pulls.remove(first.id)
            second, third = await asyncio.gather(pulls.start(REFERENCE), pulls.start(REFERENCE))
            assert first.state == "cancelled"
            assert second is third is not first
            assert second.state == "running"

    monkeypatch.setattr("modeld_pull.server.pulls._bring", never)
    asyncio.run(main())


def test_a_cancelled_pull_that_does_not_end_is_said_with_when_to_ask_again(monkeypatch) -> None:
    released = threading.Event()

    async def held_up(_reference: Reference, _settings: Settings, _show: Show) -> list[Path]:
        released.wait(10)
        return []

    async def main() -> None:
        pulls = Pulls(SETTINGS, FakeService())
        async with pulls.opened():
            first = await pulls.start(REFERENCE)
            pulls.remove(first.id)
            with pytest.raises(PullCancelledError, match="not ended yet") as refused:
                await pulls.start(REFERENCE)
            assert refused.value.retry_after_s
            released.set()

    monkeypatch.setattr("modeld_pull.server.pulls._bring", held_up)
    monkeypatch.setattr("modeld_pull.server.pulls.ENDING_S", 0)
    asyncio.run(main())
