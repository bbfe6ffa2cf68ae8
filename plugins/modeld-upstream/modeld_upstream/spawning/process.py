# SPDX-License-Identifier: GPL-3.0-only
"""A server that was started here: its process, its output, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast

from modeld.errors import LoadFailedError, WorkerCrashedError
from modeld_upstream.spawning import guard
from modeld_upstream.spawning.output import Output

KEPT_VARIABLES: Final = frozenset({
    "DYLD_LIBRARY_PATH", "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "PATH", "SSL_CERT_FILE",
    "TMPDIR", "TZ", "VIRTUAL_ENV",
})  # fmt: skip
KEPT_PREFIXES: Final = ("LC_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "GGML_", "OMP_", "GOMP_")

KILLED_S: Final = 5.0
"""How long a server that was killed may take to be gone, before its guard is killed too."""

LAST_WORDS_S: Final = 0.5
"""How long the output of a server that has ended is waited for."""

CLOSED: Final = "closed"
"""The cause of an end that was asked for here."""

_PIPE_TO_GUARD: Final = 0
_OUTPUT: Final = 1


class ServerProcess(asyncio.SubprocessProtocol):
    """Start it with :meth:`start`. Whoever has it closes it."""

    def __init__(self, label: str) -> None:
        self.output = Output(label)
        self.exited: asyncio.Future[WorkerCrashedError] = asyncio.get_running_loop().create_future()
        """How the server has ended, once it has."""

        self._transport: asyncio.SubprocessTransport | None = None
        self._is_closing = False
        self._is_read = False
        self._has_exited = False

    @classmethod
    async def start(
        cls, label: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> ServerProcess:
        """Start a server under its guard.

        Raises:
            LoadFailedError: this machine has no process for it.
        """
        guarded = [sys.executable, "-I", "-S", str(Path(guard.__file__)), *command]
        try:
            _, process = await asyncio.get_running_loop().subprocess_exec(
                lambda: cls(label),
                *guarded,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                # Ctrl-C in the terminal must not reach a server while modeld drains.
                start_new_session=True,
                env={**server_environment(os.environ), **environment},
            )
        except OSError as exc:
            raise LoadFailedError(f"no process can be started: {exc.strerror}") from exc
        return process

    @property
    def pid(self) -> int:
        """Return the number of the guard, which is that of the session too."""
        assert self._transport is not None
        return self._transport.get_pid()

    def failure(self) -> WorkerCrashedError | None:
        """Return how the server has ended, or ``None`` while it runs."""
        return self.exited.result() if self.exited.done() else None

    async def ended_within(self, seconds: float) -> bool:
        """Wait at most so long, and return whether the server has ended."""
        await asyncio.wait({self.exited}, timeout=seconds)
        return self.exited.done()

    async def aclose(self, grace_s: float) -> None:
        """Ask the server to end, kill it after ``grace_s``, and wait until it is gone.

        Whoever is cancelled here has it killed at once.
        """
        self._is_closing = True
        try:
            self._ask_to_end()
            if not await self.ended_within(grace_s):
                self.kill()
                await self._gone()
        finally:
            self.kill()

    def kill(self) -> None:
        """Have the guard kill the server and all that it has started."""
        self._is_closing = True
        pipe = self._pipe()
        if pipe is not None:
            pipe.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the process."""
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002  (there is one)
        """Take in what the server has written."""
        self.output.feed(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002
        """Note that there is no more to read, where it is the output that has ended."""
        if fd == _OUTPUT and self._has_exited:
            self._finish()
        self._is_read |= fd == _OUTPUT

    def process_exited(self) -> None:
        """Note that the server has ended, and wait for its last words.

        Its output need not end by itself: a process that has left the group may hold it open.
        """
        self._has_exited = True
        if self._is_read:
            self._finish()
        else:
            asyncio.get_running_loop().call_later(LAST_WORDS_S, self._finish)

    def _finish(self) -> None:
        if self.exited.done() or self._transport is None:
            return
        code = self._transport.get_returncode() or 0
        why = f"signal {_signal_name(-code)}" if code < 0 else f"exit {code}"
        error = WorkerCrashedError(f"the model's server ended: {why}")
        error.log_tail = self.output.tail()
        error.cause = CLOSED if self._is_closing else "signal" if code < 0 else "exit"
        error.retry_after_s = 1.0
        self.exited.set_result(error)
        self._transport.close()

    async def _gone(self) -> None:
        if not await self.ended_within(KILLED_S) and self._transport is not None:
            self._transport.kill()  # the server dies with its guard
            await self.ended_within(KILLED_S)

    def _ask_to_end(self) -> None:
        pipe = self._pipe()
        if pipe is not None and not pipe.is_closing():
            pipe.write(guard.TERMINATE)

    def _pipe(self) -> asyncio.WriteTransport | None:
        if self._transport is None:
            return None
        pipe = self._transport.get_pipe_transport(_PIPE_TO_GUARD)
        return cast("asyncio.WriteTransport | None", pipe)


def server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a server gets of this process's environment: no keys and no tokens."""
    return {
        name: value
        for name, value in environ.items()
        if name in KEPT_VARIABLES or name.startswith(KEPT_PREFIXES)
    }


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
