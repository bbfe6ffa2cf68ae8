# SPDX-License-Identifier: GPL-3.0-only
"""SIGTERM, SIGINT and SIGHUP, as events on the event loop."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

FORCED_END_S = 2
"""How long after a second signal the process ends at the latest."""


class StopSignals:
    """``first`` is set by the first signal and asks for an end in order, ``second`` for one now.

    A terminal that hangs up asks for an end in order too. Its SIGHUP may come twice, from the shell
    and from the kernel, so it is never taken for the second signal. In a process that no terminal
    controls, nothing hangs up, and SIGHUP asks for a reload: it sets ``reload``. Where it is
    ignored when the process starts (``nohup``), it stays so.

    What the second does not end within ``FORCED_END_S`` is ended by a watchdog outside the
    interpreter, with exit code 1 and a note of where every thread was, so that neither a stuck
    event loop nor a thread in native code can keep the process. Outside the main thread no
    handler can be installed, and neither event is ever set.
    """

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.reload = asyncio.Event()
        self._has_terminal = _has_terminal()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._count = 0
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler or signal.SIG_DFL)

    def deliver_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop on which the events are waited for, once it runs."""
        self._loop = loop

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP and not self._has_terminal:
            self._set(self.reload)
            return
        if number == signal.SIGHUP and self._count:
            return
        self._count += 1
        if self._count == 1:
            self._set(self.first)
        elif self._count == 2:
            faulthandler.dump_traceback_later(FORCED_END_S, exit=True, file=2)
            self._set(self.second)

    def _set(self, event: asyncio.Event) -> None:
        if self._loop is None or self._loop.is_closed():
            event.set()
        else:
            self._loop.call_soon_threadsafe(event.set)


def _has_terminal() -> bool:
    """Return whether there is a terminal that controls this process, and so can hang up."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
