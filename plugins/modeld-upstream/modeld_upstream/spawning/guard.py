# SPDX-License-Identifier: GPL-3.0-only
"""A small process between modeld and a server, so that the server never outlives modeld.

It is run as a file, with the server's command as its arguments, and imports nothing of modeld. Its
standard input is a pipe that only modeld holds: a ``t`` there asks the server and all that it has
started to end, and the end of the pipe, which comes when modeld ends in whatever way, kills them.
It exits as the server did, once nothing of that is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
from typing import Any, Final, NoReturn

NOT_STARTED: Final = 127
TERMINATE: Final = b"t"

_PR_SET_PDEATHSIG: Final = 1


def main(command: list[str]) -> NoReturn:
    """Run the server and exit as it does."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A handler, for what is ignored here would be ignored by the server too.
        signal.signal(number, _let_pass)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold prompts
    guard_pid = os.getpid()
    try:
        server = subprocess.Popen(  # noqa: S603  (the operator's own command)
            command,
            stdin=subprocess.DEVNULL,
            process_group=0,
            preexec_fn=lambda: _die_with(guard_pid),  # noqa: PLW1509  (there is one thread yet)
        )
    except (OSError, ValueError) as exc:
        print(f"{command[0]} cannot be started: {exc}", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(NOT_STARTED)
    threading.Thread(target=_obey, args=(server.pid,), daemon=True).start()
    code = _exit_code(server)
    _leave(code)


def _obey(group: int) -> None:
    """Pass on what modeld asks for, until the pipe ends."""
    while asked := os.read(0, 1):
        if asked == TERMINATE:
            _signal(group, signal.SIGTERM)
    _signal(group, signal.SIGKILL)


def _exit_code(server: subprocess.Popen[Any]) -> int:
    """Wait for the server, end what it has left of its group, and return its exit code.

    Where it can be, the server is not reaped: as long as it is there, its number is its own.
    """
    if not hasattr(os, "waitid"):
        code = server.wait()
        _signal(server.pid, signal.SIGKILL)
        return code
    ended = os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT)
    _signal(server.pid, signal.SIGKILL)
    if ended is None:
        return NOT_STARTED
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _leave(code: int) -> NoReturn:
    if code < 0:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _die_with(guard_pid: int) -> None:
    """Let the system kill the server if this process is killed, where it can (Linux)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != guard_pid:
        os._exit(NOT_STARTED)


def _let_pass(_number: int, _frame: object) -> None:
    """Go on: whoever signals the whole session means the server."""


if __name__ == "__main__":
    main(sys.argv[1:])
