# SPDX-License-Identifier: GPL-3.0-only
"""`modeld serve` as systemd, nginx and others start it: under a wrapper, on sockets it is given."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.http.served import DEADLINE_S, RIG

POLL_S = 0.01

TAKE_OVER = """
import os, sys
for number, fd in enumerate(sys.argv[1].split(","), 3):
    os.dup2(int(fd), number)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(number - 2)}
os.execv(sys.argv[2], sys.argv[2:])
"""


class Server:
    """A process that serves, or will."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log

    def address(self) -> str:
        """Return where it says that it serves, as soon as it says so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = re.search(r"modeld serves at (\S+);", line)
            if found:
                return found[1]
        raise AssertionError(f"the server did not start: {self.log()}")

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def terminate(self) -> None:
        self.process.terminate()

    def exit_code(self) -> int:
        return self.process.wait(DEADLINE_S)


@contextmanager
def started(
    *arguments: str,
    wrapper: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    path: Sequence[Path] = (),
    pass_fds: Sequence[int] = (),
) -> Iterator[Server]:
    """Start a server with the rig's backend; ``path`` has plugins more. It is killed on leaving."""
    variables = {name: text for name, text in os.environ.items() if not name.startswith("MODELD_")}
    variables["PYTHONPATH"] = os.pathsep.join(map(str, (RIG, *path)))
    command = [*wrapper, sys.executable, "-m", "modeld", "serve", *arguments]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with (
            log.open("w") as stderr,
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=variables | dict(environ or {}),
                pass_fds=pass_fds,
            ) as process,
        ):
            try:
                yield Server(process, log)
            finally:
                process.kill()


def taking_over(*fds: int) -> list[str]:
    """Return a wrapper that hands listening sockets over as systemd does."""
    return [sys.executable, "-c", TAKE_OVER, ",".join(map(str, fds))]


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Poll what another process does; the deadline is far beyond what any test here needs."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline_s, f"never: {what}"
        time.sleep(POLL_S)
