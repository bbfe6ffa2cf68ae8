# SPDX-License-Identifier: GPL-3.0-only
"""The server that the browser's tests visit: the real ``modeld serve``, on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from testctl.commands import ROOT, end
from testctl.polling import Poll, wait

START_S = 60.0
STOP_S = 30.0

_ANNOUNCED = re.compile(r"http://[\w.:\[\]]+(?=[;\s])")


class ServerError(Exception):
    """The server did not start, or did not end as it should."""


@contextmanager
def serving(models_dir: Path, default_model: str | None, log: Path) -> Iterator[str]:
    """The address of a server that answers; it is told to end afterwards.

    All that it prints goes to ``log``.

    Raises:
        ServerError: it did not come up, or did not end in order.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches the tests first, and the server when they are done.
        process = subprocess.Popen(
            _command(models_dir, default_model),
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not _configures(name)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield _address(process, log)
        _check_still_there(process)
    finally:
        process.send_signal(signal.SIGTERM)
        obeyed = end(process, STOP_S)
    if not obeyed:
        raise ServerError(f"the server did not end within {STOP_S:g} s of SIGTERM")
    if process.returncode:
        raise ServerError(f"the server ended with exit code {process.returncode}")


def _command(models_dir: Path, default_model: str | None) -> Sequence[str]:
    where = ["--addr", "127.0.0.1:0", "--models-dir", str(models_dir)]
    model = ["--default-model", default_model] if default_model else []
    # Without -P the folder that it starts in would come before the installed modeld.
    return [sys.executable, "-P", "-m", "modeld", "serve", *where, *model]


def _configures(name: str) -> bool:
    return name.startswith("MODELD_")


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the server has said where it is, and answers there."""
    deadline_s = time.monotonic() + START_S
    while not (found := _ANNOUNCED.search(log.read_text(errors="replace"))):
        _check_still_there(process)
        if time.monotonic() > deadline_s:
            raise ServerError(f"the server named no address within {START_S:g} s")
        time.sleep(0.05)
    poll = Poll(url=f"{found.group()}/healthz", timeout_s=START_S)
    outcome = wait(poll, gone=lambda: _gone(process))
    if not outcome.reached:
        raise ServerError(outcome.told(poll))
    return found.group()


def _gone(process: subprocess.Popen[bytes]) -> str | None:
    code = process.poll()
    return None if code is None else f"the server ended by itself with exit code {code}"


def _check_still_there(process: subprocess.Popen[bytes]) -> None:
    if gone := _gone(process):
        raise ServerError(gone)
