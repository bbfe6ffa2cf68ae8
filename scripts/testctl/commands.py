# SPDX-License-Identifier: GPL-3.0-only
"""Runs the commands of suites, so that Ctrl-C ends them in order."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parents[2]
GRACE_S = 30.0
"""How long a command that was interrupted may take to end."""


class Run(Protocol):
    """Runs one command in the checkout's root and returns its exit code."""

    def __call__(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> int:
        """Run ``command`` to its end, with ``env`` added to this process's environment."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came; unlike Ctrl-C in a terminal, the command has not heard of it."""


def run(command: Sequence[str], env: Mapping[str, str] | None = None) -> int:
    """Run a command and pass its output through.

    Raises:
        KeyboardInterrupt: this process was interrupted; the command has ended.
        OSError: there is no such program.
    """
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})}) as process:
        try:
            return process.wait()
        except KeyboardInterrupt as interrupt:
            if isinstance(interrupt, Terminated):
                process.send_signal(signal.SIGINT)
            end(process, GRACE_S)
            raise


def end(process: subprocess.Popen[bytes], grace_s: float) -> bool:
    """Wait for a process that was told to end; kill it after ``grace_s``. Whether it obeyed."""
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True
