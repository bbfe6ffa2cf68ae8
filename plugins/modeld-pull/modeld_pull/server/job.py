# SPDX-License-Identifier: GPL-3.0-only
"""One pull of clients: a thread that brings the files, and those who want to know how far it is."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from modeld.errors import ModeldError
from modeld_pull.progress import Progress, Show
from modeld_pull.reference import Reference

State: TypeAlias = Literal["running", "done", "failed", "cancelled"]

Bring: TypeAlias = Callable[[Show], Awaitable[Sequence[Path]]]
"""Brings the files, on an event loop of its own."""


class Job:
    """A pull with a number. All of it but :meth:`run` belongs to the server's event loop.

    ``is_detached`` says that it goes on when nobody watches it any more, ``is_ending`` that it was
    cancelled and may be at work still. ``ended`` is set once it is over.
    """

    def __init__(self, number: str, reference: Reference) -> None:
        self.id = number
        self.reference = reference
        self.state: State = "running"
        self.progress = Progress(status="resolving")
        self.models: Sequence[str] = ()
        self.files: Sequence[str] = ()
        self.error: ModeldError | None = None
        self.is_detached = False
        self.is_ending = False
        self.ended = asyncio.Event()
        self._watchers: set[asyncio.Event] = set()
        self._stop = _Stop()

    @contextmanager
    def watched(self) -> Iterator[asyncio.Event]:
        """Watch the job: the event is set at each change, for the watcher to clear.

        A job that nobody watches and that is not detached is cancelled.
        """
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            yield changed
        finally:
            self._watchers.discard(changed)
            if not self._watchers and not self.is_detached:
                self.cancel()

    def cancel(self) -> None:
        """Have it end soon; what has come is kept. Nothing happens to one that is over."""
        self.is_ending = True
        self._stop.ask()

    def note(self, progress: Progress) -> None:
        """Take over how far it is."""
        self.progress = progress
        self._wake()

    def end(self, state: State, error: ModeldError | None = None) -> None:
        """Note that it is over."""
        self.state, self.error = state, error
        self.ended.set()
        self._wake()

    async def run(self, bring: Bring) -> Sequence[Path]:
        """Bring the files on a thread and an event loop of their own, and return them.

        There, writing and hashing hold nobody up. A disk that does not respond keeps the thread,
        and neither the server nor its end.

        Raises:
            CancelledError: it was cancelled, or this task.
            ModeldError: it has failed.
        """
        loop = asyncio.get_running_loop()
        ended: Future[Sequence[Path]] = Future()
        ended.set_running_or_notify_cancel()

        def show(progress: Progress) -> None:
            with contextlib.suppress(RuntimeError):  # the server's loop is closed
                loop.call_soon_threadsafe(self.note, progress)

        def work() -> None:
            try:
                ended.set_result(asyncio.run(self._stop.unless(bring(show))))
            except BaseException as exc:  # noqa: BLE001  (it goes to who waits)
                ended.set_exception(exc)

        threading.Thread(target=work, name=f"modeld-pull-{self.id}", daemon=True).start()
        try:
            return await asyncio.wrap_future(ended)
        except asyncio.CancelledError:
            self._stop.ask()
            raise

    def _wake(self) -> None:
        for changed in self._watchers:
            changed.set()


class _Stop:
    """Cancels a task on another event loop, also before it has begun."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_asked = False
        self._cancel: Callable[[], object] | None = None

    def ask(self) -> None:
        """Cancel the task, if it has not ended."""
        with self._lock:
            self._is_asked = True
            if self._cancel is not None:
                self._cancel()

    async def unless(self, work: Awaitable[Sequence[Path]]) -> Sequence[Path]:
        """Do the work in the task that calls this, and let it be cancelled."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        with self._lock:
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            if self._is_asked:
                task.cancel()
        try:
            return await work
        finally:
            with self._lock:
                self._cancel = None
