# SPDX-License-Identifier: GPL-3.0-only
"""A child process that one thread waits for and any thread may kill."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from typing import Final

UNKNOWN_EXIT: Final = 255
"""The exit code of a child that somebody else has waited for; asyncio says the same."""

_POLL_S = 0.02


class Child:
    """The only one in this process that signals ``process`` or takes in its exit.

    :class:`subprocess.Popen` takes the exit in wherever it is asked, :meth:`~subprocess.Popen.kill`
    included, so that a thread which waits may find no child, or a signal may go to whoever has got
    the number since. Here only :meth:`wait` takes the exit in, and no signal is sent after that.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid: Final = process.pid
        self._process = process
        self._pidfd = _pidfd_of(process.pid)
        self._lock = threading.Lock()  # held to signal and to reap, so that neither meets the other
        self._is_reaped = False

    def kill(self) -> None:
        """End the process at once; one that has ended gets no signal."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._is_reaped:
                return
            if self._pidfd is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for the exit, end what the process has left of its group, and return its code.

        It is called once, on a thread of its own. A negative code is a signal's number;
        :data:`UNKNOWN_EXIT` stands for the code that somebody else has got, such as a host that
        waits for every child or ignores their signals.
        """
        if not hasattr(os, "waitid"):
            return self._wait_by_polling()
        try:
            self._wait_unreaped()
        except ChildProcessError:
            return self._reap(UNKNOWN_EXIT)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # a zombie's number is nobody else's
        return self._reap()

    def _wait_unreaped(self) -> None:
        how = os.WEXITED | os.WNOWAIT
        if self._pidfd is None:
            os.waitid(os.P_PID, self.pid, how)
        else:
            os.waitid(os.P_PIDFD, self._pidfd, how)

    def _reap(self, code: int | None = None) -> int:
        # Flag and reaping under one lock: between the two the number is free for another process,
        # which a kill would hit.
        with self._lock:
            self._is_reaped = True
            reaped = self._process.wait()
            if self._pidfd is not None:
                os.close(self._pidfd)
        return reaped if code is None else code

    def _wait_by_polling(self) -> int:
        """Do what :meth:`wait` does where the system cannot wait without reaping."""
        while True:
            with self._lock:  # poll reaps, so it is under the lock as in _reap
                code = self._process.poll()
                self._is_reaped = code is not None
            if code is not None:
                return code
            time.sleep(_POLL_S)


def _pidfd_of(pid: int) -> int | None:
    """Return what stands for this very process; ``None`` where the system has no such thing."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None
