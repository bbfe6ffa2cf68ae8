# SPDX-License-Identifier: GPL-3.0-only
"""A step engine in a thread of this process: no isolation, for embedding and for tests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading

from modeld.errors import LoadFailedError, ModeldError, WorkerCrashedError
from modeld.hosting import last_words
from modeld.hosting.channel.frames import (
    Call,
    Cancel,
    Close,
    Command,
    Load,
    LoadFailed,
    Progress,
    Report,
    command_reader,
    encode,
)
from modeld.hosting.channel.link import Link
from modeld.hosting.worker import errands
from modeld.hosting.worker.errands import Errand
from modeld.hosting.worker.stepping import Inbox, Stepper
from modeld.interfaces import StepEngine
from modeld.plugins.guard import described

CLOSE_GRACE_S = 5.0

log = logging.getLogger("modeld.hosting")


class WorkerThread(Link):
    """A thread that loads a model and serves it, or calls one function.

    A thread cannot be killed: one that hangs is left behind, and its requests fail.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._inbox: Inbox = queue.SimpleQueue()
        self._reader = command_reader()
        self._engine: StepEngine | None = None
        self._thread: threading.Thread | None = None
        self._tail: tuple[str, ...] = ()

    def send(self, command: Command) -> None:
        """Pass a command on; a load or a call starts the thread.

        It goes through a frame, as to a process: a wrong type in it ends one request here too.
        """
        if isinstance(command, Load | Call):
            name = f"modeld-engine-{command.spec.id}"
            self._thread = threading.Thread(
                target=self._run, args=(command,), name=name, daemon=True
            )
            self._thread.start()
            return
        if isinstance(command, Cancel) and self._engine is not None:
            self._engine.interrupt(command.id)  # before the command: the step must end to read it
        for received in self._reader.feed(encode(command)):
            self._inbox.put(received)

    def kill(self, why: str, cause: str) -> None:
        """Leave the thread behind; its requests fail with ``why``."""
        self._inbox.put(Close())
        self._on_ended(f"{why}; its thread is left behind", cause)

    async def aclose(self) -> None:
        """Wait for the thread to end; after :data:`CLOSE_GRACE_S` leave it behind."""
        self._inbox.put(Close())
        try:
            await asyncio.wait_for(asyncio.shield(self.exited), CLOSE_GRACE_S)
        except TimeoutError:
            self.kill("it did not close in time", "closed")

    async def discard(self) -> None:
        """Leave the thread to end by itself."""
        self.kill("it was given up", "closed")

    def log_tail(self) -> tuple[str, ...]:
        """Return the traceback of what has failed here: a thread has no log of its own."""
        return self._tail

    def _run(self, errand: Errand) -> None:
        try:
            done = errands.run(errand, lambda part: self._hand(Progress(fraction=part)))
            report = errands.loaded(done) if isinstance(done, StepEngine) else done
        except ModeldError as exc:
            self._tail = exc.log_tail
            self._hand(LoadFailed.of(exc))
        except BaseException as exc:  # noqa: BLE001  (an engine that exits must not do so unheard)
            self._tail = last_words.traceback_of(exc)
            self._hand(LoadFailed(code=LoadFailedError.code, message=f"it raised {described(exc)}"))
        else:
            self._engine = done if isinstance(done, StepEngine) else None
            self._hand(report)
            if self._engine is not None:
                self._serve(self._engine, errand.spec.id)

    def _serve(self, engine: StepEngine, model: str) -> None:
        why, cause = "it was closed", "closed"
        try:
            Stepper(engine, self._hand).run(self._inbox)
            errands.save_sessions(engine)
        except BaseException as exc:  # noqa: BLE001  (an engine that exits must not do so unheard)
            self._tail = last_words.traceback_of(exc)
            why, cause = described(exc), "exit"
        try:
            engine.close()  # also after a failure: no process ends here and frees its memory
        except BaseException as exc:
            log.exception("the engine of %r did not close", model)
            why, cause = described(exc), "exit"
        with contextlib.suppress(RuntimeError):  # the loop may have closed meanwhile
            self._loop.call_soon_threadsafe(self._on_ended, why, cause)

    def _hand(self, report: Report) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have closed meanwhile
            self._loop.call_soon_threadsafe(lambda: self.on_report(report))

    def _on_ended(self, why: str, cause: str) -> None:
        if not self.exited.done():
            error = WorkerCrashedError(f"the model's thread ended: {why}")
            error.cause = cause
            error.retry_after_s = 1.0
            self.exited.set_result(error)
