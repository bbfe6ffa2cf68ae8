# SPDX-License-Identifier: GPL-3.0-only
"""The main program of a worker process: one model or one function, one channel.

The main thread runs the engine; a second thread reads commands, so that a cancellation can
interrupt a step. When the parent goes away the channel ends, and so does the worker.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import queue
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from modeld.errors import ModeldError
from modeld.hosting import last_words
from modeld.hosting.channel.frames import (
    Call,
    Cancel,
    Close,
    FrameError,
    Load,
    LoadFailed,
    Prepare,
    Prepared,
    Progress,
    Received,
    Report,
    Unreadable,
    command_reader,
    encode,
)
from modeld.hosting.worker import errands
from modeld.hosting.worker.errands import Errand
from modeld.hosting.worker.stepping import Inbox, Stepper
from modeld.interfaces import StepEngine
from modeld.plugins.guard import described

EXIT_ENGINE_FAILED = 1
EXIT_CHANNEL_BROKEN = 4

PROGRAM: Final = "modeld-worker"

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME: Final = 15
_ARG_START: Final = 45
"""Which field of ``/proc/self/stat`` it is, counted after the name; the end follows."""

_PROGRESS_INTERVAL_S = 0.05
_READ_BYTES = 1 << 18


def main(channel_fd: int, parent_pid: int, memory_mb: int) -> None:
    """Serve one model, or call one function, over the socket ``channel_fd`` until told to close.

    ``memory_mb`` limits the address space, in MiB; 0 leaves it unlimited.
    """
    _die_with(parent_pid)
    _limit_damage(memory_mb)
    set_title("(waits for a model)")
    os.dup2(2, 1)  # what a runtime prints belongs into the log, too
    channel = socket.socket(fileno=channel_fd)
    channel.set_inheritable(False)
    Worker(channel).run()
    os._exit(0)  # the model's memory goes faster with the process than piece by piece


class Worker:
    """The child's side of the channel."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._inbox: Inbox = queue.SimpleQueue()
        self._engine: StepEngine | None = None
        self._progress_s = 0.0

    def run(self) -> None:
        """Prepare, load or call, serve, close. Each is a command of the parent's."""
        threading.Thread(target=self._read, name="modeld-commands", daemon=True).start()
        while self._engine is None:
            match self._inbox.get():
                case Prepare(imports=imports):
                    self._prepare(imports)
                case Load() | Call() as errand:
                    set_title(errand.spec.id)
                    self._run(errand)
                case Close():
                    return
                case Cancel() | Unreadable():
                    pass
                case command:
                    raise RuntimeError(f"{command!r} before a model is loaded")
        try:
            Stepper(self._engine, self._send).run(self._inbox)
        except BaseException as exc:  # noqa: BLE001  (the parent learns of it by the exit, people by the log)
            _write_log(last_words.traceback_of(exc))
            os._exit(EXIT_ENGINE_FAILED)  # an engine that has failed may hang in its destructors
        errands.save_sessions(self._engine)
        if self._engine.close_before_exit:
            self._engine.close()

    def _prepare(self, imports: tuple[tuple[str, str], ...]) -> None:
        """Import ahead, and report the faults: each is the backend's whose module it is.

        They go into no log here: the lines of this process will be those of whatever model is
        loaded into it.
        """
        failed: list[tuple[str, str, str]] = []
        for backend, module in imports:
            try:
                importlib.import_module(module)
            except BaseException as exc:  # noqa: BLE001  (the load will fail with its own reason)
                failed.append((backend, module, described(exc)))
        self._send(Prepared(failed=tuple(failed)))

    def _run(self, errand: Errand) -> None:
        try:
            done = errands.run(errand, self._report_progress)
            report = errands.loaded(done) if isinstance(done, StepEngine) else done
        except ModeldError as exc:
            _write_log(exc.log_tail)
            self._send(LoadFailed.of(exc))
        else:
            self._engine = done if isinstance(done, StepEngine) else None
            self._send(report)

    def _report_progress(self, fraction: float) -> None:
        now = time.monotonic()
        if now - self._progress_s >= _PROGRESS_INTERVAL_S or fraction >= 1.0:
            self._progress_s = now
            self._send(Progress(fraction=fraction))

    def _send(self, report: Report) -> None:
        try:
            self._channel.sendall(encode(report))
        except OSError:
            os._exit(EXIT_CHANNEL_BROKEN)

    def _read(self) -> None:
        """Pass commands on; end the process when the parent is gone or talks nonsense."""
        reader = command_reader()
        try:
            while data := self._channel.recv(_READ_BYTES):
                for command in reader.feed(data):
                    self._receive(command)
        except (OSError, FrameError):
            traceback.print_exc()
        os._exit(EXIT_CHANNEL_BROKEN)

    def _receive(self, command: Received) -> None:
        if isinstance(command, Cancel) and self._engine is not None:
            self._engine.interrupt(command.id)
        self._inbox.put(command)


def _write_log(lines: Iterable[str]) -> None:
    """Write lines to where the parent reads them, before anything else happens."""
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.stderr.flush()


def _die_with(parent_pid: int) -> None:
    """Request a signal for when the parent dies (Linux); elsewhere the channel's end does it."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the request, and no signal will come
        os._exit(EXIT_CHANNEL_BROKEN)


def _limit_damage(memory_mb: int) -> None:
    """Forbid core dumps, which would hold prompts, and be the kernel's first choice to kill."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_mb:
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    if sys.platform == "linux":
        try:
            Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
        except OSError:
            traceback.print_exc()


def set_title(what: str) -> None:
    """Show this process in ``ps`` and ``top`` as ``modeld-worker WHAT``, where that is possible.

    On Linux the command line that others see is the memory that the arguments were passed in; a
    process may write there. Elsewhere, and where that is not allowed, a worker keeps its long one.
    """
    if sys.platform != "linux":
        return
    shown = what if what.isprintable() else ascii(what)[1:-1]
    try:
        _write_arguments(f"{PROGRAM} {shown}".encode(errors="replace"))
        ctypes.CDLL(None).prctl(_PR_SET_NAME, PROGRAM.encode(), 0, 0, 0)
    except (OSError, ValueError, IndexError):
        return


def _write_arguments(title: bytes) -> None:
    """Fill the memory of the arguments with the title; the rest of it, the end too, is NUL."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_START + 1])
    if not 0 < start < end:
        return
    room = end - start
    # Through this file a wrong address is an error; a wrong pointer would end the process.
    memory = os.open("/proc/self/mem", os.O_RDWR)
    try:
        os.pwrite(memory, title[: room - 1].ljust(room, b"\0"), start)
    finally:
        os.close(memory)
