# SPDX-License-Identifier: GPL-3.0-only
"""The loop that runs a step engine, the same in a child process and in a thread.

Take what has been asked for, do one step, hand over one report with everything it produced.
"""

from __future__ import annotations

import importlib
import queue
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TypeAlias

from modeld.errors import LoadFailedError, ModeldError
from modeld.hosting.frames import Cancel, Cancelled, Close, Command, Report, Stepped, Submit
from modeld.interfaces import ReportProgress, StepEngine
from modeld.values import Failed, ModelSpec, StepChunk, Token

Send: TypeAlias = Callable[[Report], None]
Inbox: TypeAlias = "queue.SimpleQueue[Command]"

HEARTBEAT_S = 0.25
"""Steps that produce nothing are reported at most this often."""


def open_engine(
    engine: str, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
) -> StepEngine:
    """Import ``package.module:Class`` and open it for ``spec``.

    Raises:
        ModeldError: as the engine raised it; anything else becomes a :class:`LoadFailedError`.
    """
    module, _, name = engine.partition(":")
    try:
        opened = getattr(importlib.import_module(module), name).open(spec, options, progress)
    except ModeldError:
        raise
    except Exception as exc:
        traceback.print_exc()
        raise LoadFailedError(f"{type(exc).__name__}: {exc}") from exc
    if not isinstance(opened, StepEngine):
        raise LoadFailedError(f"{engine}.open returned {opened!r}, not a StepEngine")
    return opened


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
                    case Submit():
                        self._submit(command)
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

    def _submit(self, command: Submit) -> None:
        try:
            self._engine.submit(command.id, command.request)
        except ModeldError as exc:
            failed = Failed(code=exc.code, message=exc.message, field=exc.field)
        except Exception as exc:  # noqa: BLE001  (one request's fault must not end the others)
            traceback.print_exc(file=sys.stderr)
            failed = Failed(code="internal_error", message=f"the engine refused: {exc!r}")
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
        produced = []
        for request_id, chunk in self._engine.step():
            if request_id not in self._running:
                continue
            if not isinstance(chunk, Token):
                self._running.discard(request_id)
            produced.append((request_id, chunk))
        if produced or self._clock() - self._reported_s >= HEARTBEAT_S:
            self._report(tuple(produced))

    def _report(self, chunks: tuple[tuple[int, StepChunk], ...]) -> None:
        self._reported_s = self._clock()
        self._send(Stepped(chunks=chunks))
