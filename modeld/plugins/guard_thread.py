# SPDX-License-Identifier: GPL-3.0-only
"""Threads for calls into plugins: kept for the next call, and left behind where one hangs."""

from __future__ import annotations

import contextvars
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

T = TypeVar("T")

Outcome: TypeAlias = "queue.SimpleQueue[tuple[Any, None] | tuple[None, BaseException]]"
"""Gets what a call has returned, or what it has raised."""

IDLE_S: Final = 0.02
"""How long a thread waits for its next call. Those of one application follow each other at once."""

_idle: Final[list[GuardThread]] = []
_idle_lock = threading.Lock()


class GuardThread:
    """A daemon thread for guarded calls, one after another; it ends when none comes soon.

    An application makes some seventy of them at its start, and a new thread for each took a fifth
    of that time.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[str, Callable[[], Any], Outcome]] = queue.SimpleQueue()
        self._is_left = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def begin(self, what: str, function: Callable[[], Any]) -> Outcome:
        """Begin a call, which needs an idle thread; return where its outcome will be."""
        outcome: Outcome = queue.SimpleQueue()
        self._calls.put((what, function, outcome))
        return outcome

    def leave_behind(self) -> None:
        """Let it end after the call that it is at: nobody waits for that any longer."""
        with _idle_lock:
            self._is_left = True
            if self in _idle:
                _idle.remove(self)

    def _serve(self) -> None:
        while (coming := self._next()) is not None and self._run(*coming):
            del coming  # an idle thread keeps nothing of a plugin's alive

    def _run(self, what: str, function: Callable[[], Any], outcome: Outcome) -> bool:
        """Run one call, and return whether the thread is still wanted after it."""
        self._thread.name = f"modeld-plugin-{what}"
        ended = _outcome_of(function)
        self._thread.name = "modeld-idle"
        with _idle_lock:
            is_wanted = not self._is_left
            if is_wanted:
                _idle.append(self)
        # Only now: whoever waits for it begins the next call at once, and finds this thread. And in
        # any case: who gave a call up in the moment of its end may have left the next one's thread.
        outcome.put(ended)
        return is_wanted

    def _next(self) -> tuple[str, Callable[[], Any], Outcome] | None:
        try:
            return self._calls.get(timeout=IDLE_S)
        except queue.Empty:
            with _idle_lock:
                if self in _idle:
                    _idle.remove(self)
                    return None
            return self._calls.get()  # it was taken for a call just now


def _outcome_of(function: Callable[[], T]) -> tuple[T, None] | tuple[None, BaseException]:
    try:
        # A context of its own, as a new thread has: what one plugin sets is not seen by the next.
        return contextvars.Context().run(function), None
    except BaseException as exc:  # noqa: BLE001  (a plugin's SystemExit is its fault, not ours)
        return None, exc


def idle_thread() -> GuardThread:
    """Return a thread that is at no call; the caller gives it exactly one."""
    with _idle_lock:
        return _idle.pop() if _idle else GuardThread()


def _forget() -> None:
    """A process that was forked has none of these threads: who took one would wait in vain."""
    global _idle_lock  # noqa: PLW0603  (another thread may have held it, which is not here either)
    _idle_lock = threading.Lock()
    _idle.clear()


os.register_at_fork(after_in_child=_forget)
