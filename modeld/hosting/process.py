# SPDX-License-Identifier: GPL-3.0-only
"""A worker process: how it is started, talked to, killed and waited for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Final, cast

from modeld.errors import WorkerCrashedError
from modeld.hosting.frames import Command, FrameError, encode, report_reader
from modeld.hosting.link import Link
from modeld.hosting.native_log import NativeLog

CLOSE_GRACE_S: Final = 5.0
"""How long a worker may take to close before it is killed."""

EXIT_GRACE_S: Final = 0.5
"""How long the channel's end and the process's end may lie apart."""

KEPT_VARIABLES: Final = frozenset({
    "DYLD_LIBRARY_PATH", "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "PATH", "PYTHONHASHSEED",
    "PYTHONPATH", "PYTHONWARNINGS", "SSL_CERT_FILE", "TMPDIR", "TZ", "VIRTUAL_ENV",
})  # fmt: skip
KEPT_PREFIXES: Final = (
    "LC_",
    "CUDA_",
    "NVIDIA_",
    "HIP_",
    "ROCR_",
    "GGML_",
    "OMP_",
    "GOMP_",
    "COVERAGE_",
)

_BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    " from modeld.hosting.worker import main;"
    " main(int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))"
)


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker: what runtimes need, and no keys or tokens.

    ``GGML_NO_BACKTRACE`` keeps a crashing ggml from starting a debugger, whose output would put
    memory into the log.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name in KEPT_VARIABLES or name.startswith(KEPT_PREFIXES)
    }
    return kept | {"GGML_NO_BACKTRACE": "1"}


class WorkerProcess(Link, asyncio.Protocol):
    """A child process and the channel to it. Start it with :meth:`spawn`.

    It must be spawned on a thread that lives on (the event loop's): on Linux a child may ask to
    die with the thread that made it.
    """

    def __init__(self, process: subprocess.Popen[bytes], output: NativeLog) -> None:
        super().__init__()
        self.pid: int = process.pid
        self._process = process
        self._output = output
        self._reader = report_reader()
        self._transport: asyncio.WriteTransport | None = None
        self._killed_because: tuple[str, str] | None = None
        self._exit_code: int | None = None

    @classmethod
    async def spawn(cls, memory_mb: int = 0) -> WorkerProcess:
        """Start a worker. ``memory_mb`` limits its address space, in MiB; 0 does not."""
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        read_end, write_end = os.pipe()
        ours.setblocking(False)  # noqa: FBT003  (the name says it)
        try:
            process = subprocess.Popen(  # noqa: S603, ASYNC220  (fixed arguments; it must be forked on this thread)
                cls._command(theirs.fileno(), memory_mb),
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=worker_environment(os.environ),
            )
        except BaseException:
            ours.close()
            os.close(read_end)
            raise
        finally:
            theirs.close()
            os.close(write_end)
        output = NativeLog()
        worker = cls(process, output)
        threading.Thread(
            target=worker._reap, args=(loop,), name=f"modeld-reap-{process.pid}", daemon=True
        ).start()
        pipe = os.fdopen(read_end, "rb")
        try:
            await loop.connect_read_pipe(lambda: output, pipe)
            await loop.create_unix_connection(lambda: worker, sock=ours)
        except BaseException:
            output.close()
            pipe.close()
            ours.close()
            await worker.discard()
            raise
        return worker

    @staticmethod
    def _command(channel_fd: int, memory_mb: int) -> list[str]:
        path = json.dumps([entry for entry in sys.path if entry])
        numbers = (str(number) for number in (channel_fd, os.getpid(), memory_mb))
        return [sys.executable, "-P", "-u", "-c", _BOOTSTRAP, path, *numbers, "modeld-worker"]

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
            self._killed_because = self._killed_because or (why, cause)
            self._process.kill()

    async def aclose(self) -> None:
        """Wait for the process to end; after :data:`CLOSE_GRACE_S` kill it."""
        self._killed_because = self._killed_because or ("it was closed", "closed")
        try:
            await asyncio.wait_for(asyncio.shield(self.exited), CLOSE_GRACE_S)
        except TimeoutError:
            self.kill("it did not close in time", "closed")
            await asyncio.shield(self.exited)
        except asyncio.CancelledError:
            self.kill("it was given up", "closed")
            raise

    async def discard(self) -> None:
        """Kill the process and wait until it is gone."""
        self.kill("it was given up", "closed")
        await asyncio.shield(self.exited)

    def log_tail(self) -> tuple[str, ...]:
        """The last lines of the process's standard error."""
        return self._output.tail()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to the worker."""
        # A cast: uvloop's transports write and are of no class of asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Cut into reports and pass them on; nonsense ends the worker, after what came before."""
        try:
            for report in self._reader.feed(data):
                self.on_report(report)
        except FrameError as exc:
            self.kill(f"it sent garbage: {exc}", "garbage")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the exit tells more)
        """Without a channel a worker is of no use; nearly always it is exiting already."""
        self._transport = None
        if self._exit_code is not None:
            self._finish()
        else:
            asyncio.get_running_loop().call_later(
                EXIT_GRACE_S, self.kill, "it closed its channel", "garbage"
            )

    def _reap(self, loop: asyncio.AbstractEventLoop) -> None:
        """Thread: wait for the exit, so that there is never a zombie, and tell the loop."""
        if hasattr(os, "waitid"):  # while it is a zombie its number is nobody else's
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop may have closed meanwhile
            loop.call_soon_threadsafe(self._on_reaped, code)

    def _on_reaped(self, code: int) -> None:
        """What the worker sent before its end is still to be read, so wait for the channel."""
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
    """The signal's name; real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
