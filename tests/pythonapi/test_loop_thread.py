# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncGenerator, Callable

import pytest

from modeld.pythonapi.loop_thread import WINDOW, LoopThread


async def nothing() -> None:
    """End."""


def ctrl_c() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def forever(begun: Callable[[], object], ended: threading.Event) -> AsyncGenerator[int, None]:
    async def items() -> AsyncGenerator[int, None]:
        try:
            begun()
            await asyncio.Event().wait()
            yield 0
        finally:
            ended.set()

    return items()


def test_ctrl_c_ends_the_wait_and_what_was_waited_for() -> None:
    ended = threading.Event()

    async def work() -> None:
        try:
            ctrl_c()
            await asyncio.Event().wait()
        finally:
            ended.set()

    thread = LoopThread(nothing)
    with pytest.raises(KeyboardInterrupt):
        thread.call(work())
    assert ended.wait(10)
    thread.close()


def test_ctrl_c_ends_a_stream() -> None:
    ended = threading.Event()
    thread = LoopThread(nothing)
    with pytest.raises(KeyboardInterrupt):
        list(thread.iterate(forever(ctrl_c, ended)))
    assert ended.is_set()
    thread.close()


def test_who_takes_no_more_holds_the_stream_back() -> None:
    made: list[int] = []

    async def items() -> AsyncGenerator[int, None]:
        for number in range(10 * WINDOW):
            made.append(number)
            yield number

    thread = LoopThread(nothing)
    stream = thread.iterate(items())
    assert next(stream) == 0
    thread.call(nothing())
    assert len(made) <= WINDOW + 2
    assert list(stream) == list(range(1, 10 * WINDOW))
    thread.close()


def test_an_error_comes_after_what_was_there_before() -> None:
    async def items() -> AsyncGenerator[int, None]:
        yield 1
        raise LookupError("gone")

    thread = LoopThread(nothing)
    stream = thread.iterate(items())
    assert next(stream) == 1
    with pytest.raises(LookupError, match="gone"):
        next(stream)
    thread.close()


def test_an_end_that_fails_is_told_and_ends_all_the_same() -> None:
    async def end() -> None:
        raise LookupError("no end")

    before = threading.active_count()
    thread = LoopThread(end)
    thread.call(nothing())
    with pytest.raises(LookupError, match="no end"):
        thread.close()
    assert threading.active_count() == before
