# SPDX-License-Identifier: GPL-3.0-only
import pytest

from modeld.cli.session import Session
from modeld.errors import ConfigurationError
from tests.httpapi.fake_service import FakeService


class NoStart(FakeService):
    """A service whose settings are wrong."""

    async def start(self) -> None:
        raise ConfigurationError("models: no such option")


def test_a_session_that_cannot_start_leaves_no_thread_behind():
    session = Session(NoStart())
    with pytest.raises(ConfigurationError, match="no such option"), session:
        pass
    assert not session._thread.is_alive()
