# SPDX-License-Identifier: GPL-3.0-only
"""The command ``modeld`` as a person meets it: as a process, on a real terminal."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

MODELD = str(Path(sys.executable).with_name("modeld"))
DEADLINE_S = 30.0

_TAKE_TERMINAL = (
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " signal.signal(signal.SIGINT, signal.SIG_DFL);"  # a job in the background ignores it
    " os.execv(sys.argv[1], sys.argv[1:])"
)


def modeld(*args: str, stdin: str | bytes = "") -> subprocess.CompletedProcess[str]:
    """Run one command line without a terminal."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [MODELD, *args], input=given, capture_output=True, timeout=DEADLINE_S, check=False
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


class Terminal:
    """A terminal with ``modeld`` running in it."""

    def __init__(self, *args: str) -> None:
        self._ours, theirs = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, MODELD, *args],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "dumb"},
        )
        os.close(theirs)
        self.shown = ""
        self._seen = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        """Press keys; ``\\x03`` is Ctrl-C and ``\\x04`` is Ctrl-D."""
        os.write(self._ours, text.encode())

    def type_until_over(self, text: str) -> None:
        """Press keys once a second until the command has ended.

        At a prompt, Python's readline misses a signal that comes just before it begins to wait,
        until there is another.
        """
        deadline = time.monotonic() + DEADLINE_S
        while self.process.poll() is None and time.monotonic() < deadline:
            self.type(text)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=1)

    def wait_for(self, text: str) -> None:
        """Read on until ``text`` is shown, after whatever was waited for before."""
        deadline = time.monotonic() + DEADLINE_S
        while (at := self.shown.find(text, self._seen)) < 0:
            assert self._read(deadline), f"ended without {text!r}:\n{self.shown}"
        self._seen = at + len(text)

    def wait(self) -> int:
        """Read to the end and return the exit code."""
        deadline = time.monotonic() + DEADLINE_S
        while self._read(deadline):
            pass
        return self.process.wait(timeout=DEADLINE_S)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing came for {DEADLINE_S:g} s; before that:\n{self.shown}"
        try:
            data = os.read(self._ours, 4096)
        except OSError:  # what Linux says once the other side is closed
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)
