# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import logging

import pytest

from modeld.events import ConnectionRefused, Event
from modeld.httpapi.server.refusals import LINES_PER_SECOND, Refusals
from modeld.httpapi.server.request_head import invalid
from modeld.testing.doubles.virtual_time import run_virtually


def test_a_flood_of_refusals_is_counted_in_full_and_logged_in_part(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Event] = []

    async def main() -> None:
        refusals = Refusals(events.append)
        for _ in range(1000):
            refusals.note(invalid("it is nonsense"), ("10.0.0.1", 5))
        await asyncio.sleep(1.5)
        refusals.note(invalid("it is nonsense"), None)
        await asyncio.sleep(1.5)

    caplog.set_level(logging.INFO, "modeld.access")
    run_virtually(main())
    assert events == [ConnectionRefused(status=400, reason="invalid_request")] * 1001
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == LINES_PER_SECOND + 2
    assert lines[0].startswith("refused 400 invalid_request: it is nonsense client=10.0.0.1 id=")
    assert lines[-2] == f"refused {1000 - LINES_PER_SECOND} more within a second"
    assert " client=- id=" in lines[-1]
