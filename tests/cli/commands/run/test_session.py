# SPDX-License-Identifier: GPL-3.0-only
import asyncio
from contextlib import suppress

import pytest

from modeld.cli.commands.run.session import Session
from modeld.errors import ConfigurationError
from tests.support.http.fake_service import FakeService


class NoStart(FakeService):
    """A service whose settings are wrong."""

    async def start(self) -> None:
        raise ConfigurationError("models: no such option")


def test_a_session_that_cannot_start_leaves_no_thread_behind():
    session = Session(NoStart())
    with pytest.raises(ConfigurationError, match="no such option"), session:
        pass
    assert not session._loop._thread.is_alive()


class Stubborn(FakeService):
    """A service that leaves a task which goes on although it is cancelled."""

    async def start(self) -> None:
        self.task = asyncio.create_task(self.go_on())
        self.task._log_destroy_pending = False  # what asyncio says of it is no news here
        await asyncio.sleep(0)

    async def go_on(self) -> None:
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()


def test_a_session_ends_without_the_tasks_that_do_not():
    session = Session(Stubborn())
    with session:
        pass
    assert not session._loop._thread.is_alive()
