# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import errno
import logging
import os

import pytest

from modeld.httpapi.server.open_files import NOTE_EVERY_S, LoopFaults
from modeld.testing.doubles.virtual_time import run_virtually


def test_that_no_connection_can_be_accepted_is_one_line_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    no_more = OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(LoopFaults())
        for _ in range(3):
            for _ in range(100):
                context = {"message": "x", "exception": no_more, "socket": None}
                loop.call_exception_handler(context)
            await asyncio.sleep(NOTE_EVERY_S / 2)

    run_virtually(main())
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["no connection can be accepted now: Too many open files"] * 2


@pytest.mark.parametrize(
    "context",
    [
        {"message": "a fault", "exception": OSError(errno.EMFILE, "too many")},
        {"message": "a fault", "exception": OSError(errno.EPIPE, "gone"), "socket": None},
        {"message": "a fault", "exception": ValueError("bad")},
        {"message": "a fault"},
    ],
)
def test_every_other_fault_of_the_loop_is_logged_as_ever(
    context: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(LoopFaults())
        loop.call_exception_handler(context)

    asyncio.run(main())
    [record] = caplog.records
    assert (record.name, record.levelno) == ("asyncio", logging.ERROR)
