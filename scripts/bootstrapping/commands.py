# SPDX-License-Identifier: GPL-3.0-only
"""Runs the commands that take long, with a sign of life and their output in a log."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from checkout import fail, say, shown

_SIGN_OF_LIFE_S = 10.0
_STEP = re.compile(r"^\s*\[(\d+/\d+|\s*\d+%)\]", re.MULTILINE)
_TAIL_BYTES = 4000


def run(
    command: list[str],
    *,
    log: Path,
    what: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run ``command`` to its end; say how far it is every ten seconds.

    Its output goes to ``log``, whose end is shown if it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
        ) as process,
    ):
        while True:
            try:
                code = process.wait(timeout=_SIGN_OF_LIFE_S)
                break
            except subprocess.TimeoutExpired:
                say(f"  {what}: {time.monotonic() - started:.0f} s{_step(log)}")
    if code:
        print(_tail(log))
        fail(f"{what} failed with exit code {code}; the whole output is in {shown(log)}")


def _step(log: Path) -> str:
    """The newest step counter of a build (``[12/345]`` or ``[ 12%]``), if there is one."""
    steps = _STEP.findall(_tail(log))
    return f", step {steps[-1].strip()}" if steps else ""


def _tail(log: Path) -> str:
    with log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        return handle.read().decode(errors="replace")
