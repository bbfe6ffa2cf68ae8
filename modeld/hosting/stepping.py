# SPDX-License-Identifier: GPL-3.0-only
"""The loop that runs a step engine, the same in a child process and in a thread.

Take what has been asked for, do one step, hand over one report with everything it produced.
"""

from __future__ import annotations

import queue
import sys
import time
import traceback
from collections.abc import Callable
from typing import TypeAlias

from modeld.errors import InternalError, InvalidRequestError, ModeldError
from modeld.hosting.frames import (
    Ask,
    Cancel,
    Cancelled,
    Close,
    Command,
    FrameError,
    Report,
    Sent,
    Stepped,
    Submit,
)
from modeld.hosting.vectors import Vectors
from modeld.interfaces import StepEngine
from modeld.questions import Embeddings, Reply
from modeld.values import Done, Failed, Token

Send: TypeAlias = Callable[[Report], None]
Inbox: TypeAlias = "queue.SimpleQueue[Command]"

HEARTBEAT_S = 0.25
"""Steps that produce nothing are reported at most this often."""


class Stepper:
    """Runs one open engine until it is told to close.

    :meth:`run` raises whatever :meth:`StepEngine.step` raises: an engine that fails between its
    requests cannot be trusted with any of them.
    """

    def __init__(
        self, engine: StepEngine, send: Send, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._send = send
        self._clock = clock
        self._running: set[int] = set()
        self._reported_s = clock()

    def run(self, inbox: Inbox) -> None:
        """Serve until a :class:`Close` arrives."""
        while True:
            for command in self._take(inbox):
                match command:
                    case Submit() | Ask():
                        self._take_on(command)
                    case Cancel(id=request_id):
                        self._cancel(request_id)
                    case Close():
                        return
                    case _:
                        raise RuntimeError(f"{command!r} is not for a loaded engine")
            if self._running:
                self._step()

    def _take(self, inbox: Inbox) -> list[Command]:
        """All waiting commands; with nothing to step, wait for one."""
        commands = [] if self._running else [inbox.get()]
        while not inbox.empty():
            commands.append(inbox.get())
        return commands

    def _take_on(self, command: Submit | Ask) -> None:
        try:
            if isinstance(command, Submit):
                self._engine.submit(command.id, command.request)
            else:
                self._engine.ask(command.id, command.question)
        except ModeldError as exc:
            failed = Failed(code=exc.code, message=exc.message, field=exc.field)
        except Exception as exc:  # noqa: BLE001  (one request's fault must not end the others)
            traceback.print_exc(file=sys.stderr)
            failed = Failed(code=InternalError.code, message=f"the engine refused: {exc!r}")
        else:
            self._running.add(command.id)
            return
        self._report(((command.id, failed),))

    def _cancel(self, request_id: int) -> None:
        if request_id in self._running:
            self._running.discard(request_id)
            self._engine.cancel(request_id)
        self._send(Cancelled(id=request_id))

    def _step(self) -> None:
        produced: list[tuple[int, Sent]] = []
        replies: list[tuple[int, Reply]] = []
        for request_id, chunk in self._engine.step():
            if request_id not in self._running:
                continue
            if isinstance(chunk, Token):
                produced.append((request_id, chunk))
                continue
            self._running.discard(request_id)
            if isinstance(chunk, Done | Failed):
                produced.append((request_id, chunk))
            else:
                replies.append((request_id, chunk))
        if produced or self._clock() - self._reported_s >= HEARTBEAT_S:
            self._report(tuple(produced))
        for request_id, reply in replies:
            self._reply(request_id, reply)

    def _reply(self, request_id: int, reply: Reply) -> None:
        """Each in a report of its own, because one may be all that a frame has room for."""
        try:
            packed = Vectors.pack(reply) if isinstance(reply, Embeddings) else reply
            self._report(((request_id, packed),))
        except FrameError as exc:
            message = f"the reply cannot be handed over: {exc}; ask for less at once"
            failed = Failed(code=InvalidRequestError.code, message=message)
            self._report(((request_id, failed),))
        except ValueError as exc:
            traceback.print_exc(file=sys.stderr)
            failed = Failed(code=InternalError.code, message=f"the engine's reply is wrong: {exc}")
            self._report(((request_id, failed),))

    def _report(self, chunks: tuple[tuple[int, Sent], ...]) -> None:
        self._reported_s = self._clock()
        self._send(Stepped(chunks=chunks))
