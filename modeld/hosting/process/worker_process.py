# SPDX-License-Identifier: GPL-3.0-only
"""A worker process: how it is started, talked to, killed and waited for."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Collection
from typing import Final, cast

from modeld.errors import WorkerCrashedError
from modeld.hosting.channel.frames import Command, FrameError, encode, report_reader
from modeld.hosting.channel.link import Link
from modeld.hosting.process.launch import Launched, launch
from modeld.hosting.process.native_log import NativeLog

CLOSE_GRACE_S: Final = 5.0
"""How long a worker may take to close before it is killed."""

EXIT_GRACE_S: Final = 0.5
"""How long the channel's end and the process's end may lie apart."""


BEHIND_BYTES: Final = 4 << 10
"""More than this at once is no step's report but a heap of them: some 300 tokens."""


class WorkerProcess(Link, asyncio.Protocol):
    """A child process and the channel to it. Start it with :meth:`spawn`.

    It must be spawned on a thread that lives on (the event loop's): on Linux a child may ask to
    die with the thread that made it.
    """

    def __init__(self, launched: Launched, output: NativeLog) -> None:
        super().__init__()
        self.pid: int = launched.child.pid
        self.pipe = launched.log
        self._child = launched.child
        self._output = output
        self._reader = report_reader()
        self._transport: asyncio.WriteTransport | None = None
        self._killed_because: tuple[str, str] | None = None
        self._exit_code: int | None = None

    @classmethod
    async def spawn(cls, memory_mb: int = 0, variables: Collection[str] = ()) -> WorkerProcess:
        """Start a worker and return it. ``memory_mb`` above 0 limits its address space, in MiB.

        ``variables`` are those of this process that it gets beside what every worker has.
        """
        loop = asyncio.get_running_loop()
        launched, output = launch(memory_mb, variables), NativeLog()
        worker = cls(launched, output)
        # Before the first await: whoever is cancelled there leaves a child that is still reaped.
        threading.Thread(
            target=worker._reap, args=(loop,), name=f"modeld-reap-{worker.pid}", daemon=True
        ).start()
        try:
            await loop.connect_read_pipe(lambda: output, launched.log)
            await loop.create_unix_connection(lambda: worker, sock=launched.channel)
        except BaseException:
            output.close()
            launched.log.close()
            launched.channel.close()
            await worker.discard()
            raise
        return worker

    def label(self, model: str) -> None:
        """Name the model in the worker's log lines."""
        self._output.label = model

    def send(self, command: Command) -> None:
        """Pass a command on; a worker that is gone gets nothing."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(encode(command))

    def kill(self, why: str, cause: str) -> None:
        """Kill the process; its requests fail with ``why``."""
        if self._exit_code is None:
            self._killed_because = self._killed_because or (why, cause)  # the first is the cause
            self._child.kill()

    async def aclose(self) -> None:
        """Wait for the process to end; after :data:`CLOSE_GRACE_S` kill it."""
        # Before the exit, so that it is not reported as a crash.
        self._killed_because = self._killed_because or ("it was closed", "closed")
        try:
            await asyncio.wait_for(asyncio.shield(self.exited), CLOSE_GRACE_S)
        except TimeoutError:
            self.kill("it did not close in time", "closed")
            await asyncio.shield(self.exited)
        except asyncio.CancelledError:
            self.kill("it was given up", "closed")  # nobody waits any more, so nobody would kill it
            raise

    async def discard(self) -> None:
        """Kill the process and wait until it is gone."""
        self.kill("it was given up", "closed")
        await asyncio.shield(self.exited)

    def log_tail(self) -> tuple[str, ...]:
        """Return the last lines of the process's standard error."""
        return self._output.tail()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to the worker."""
        # A cast: uvloop's transports write and are of no class of asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Pass the reports in ``data`` on; nonsense ends the worker, after what came before it."""
        self.is_behind = len(data) > BEHIND_BYTES
        try:
            for report in self._reader.feed(data):
                self.on_report(report)
        except FrameError as exc:
            self.kill(f"it sent garbage: {exc}", "garbage")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the exit tells more)
        """End the worker, of no use without a channel; nearly always it is exiting already."""
        self._transport = None
        if self._exit_code is not None:
            self._finish()
        else:
            asyncio.get_running_loop().call_later(
                EXIT_GRACE_S, self.kill, "it closed its channel", "garbage"
            )

    def _reap(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait on a thread for the exit, so that there is never a zombie, and tell the loop."""
        code = self._child.wait()
        with contextlib.suppress(RuntimeError):  # the loop may have closed meanwhile
            loop.call_soon_threadsafe(self._on_reaped, code)

    def _on_reaped(self, code: int) -> None:
        """Note the exit, and wait for the channel: what the worker has sent is still to be read."""
        self._exit_code = code
        if self._transport is None:
            self._finish()
        else:
            asyncio.get_running_loop().call_later(EXIT_GRACE_S, self._finish)

    def _finish(self) -> None:
        if self.exited.done():
            return
        if self._transport is not None:
            self._transport.close()
        self._output.drain(self.pipe)  # its last words, before anybody asks for them
        # It need not end by itself: a process that has left the worker's group may hold it open.
        asyncio.get_running_loop().call_later(EXIT_GRACE_S, self._output.close)
        why, cause = self._cause()
        error = WorkerCrashedError(f"the model's process ended: {why}")
        error.cause = cause
        error.retry_after_s = 1.0
        self.exited.set_result(error)

    def _cause(self) -> tuple[str, str]:
        if self._killed_because is not None:
            return self._killed_because
        code = self._exit_code or 0
        if code < 0:
            return f"signal {_signal_name(-code)}", "signal"
        return f"exit {code}", "exit"


def _signal_name(number: int) -> str:
    """Return the signal's name, or its number: real-time signals have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
