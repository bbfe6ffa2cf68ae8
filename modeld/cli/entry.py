# SPDX-License-Identifier: GPL-3.0-only
"""Where the process ``modeld`` begins and ends; Ctrl-C never shows a traceback.

It imports next to nothing itself, because the libraries of the commands take half a second in
which somebody may change their mind.
"""

from __future__ import annotations

import os
import signal

_INTERRUPTED = 130


def main() -> int:
    """Run the command line of this process and return its exit code."""
    _end_on_interrupt(_INTERRUPTED)
    try:
        from modeld.cli import main as commands  # noqa: PLC0415
        from modeld.cli import output  # noqa: PLC0415

        output.take_over()
        _interrupt_as_usual()
        code = commands.main()
    except KeyboardInterrupt:
        code = _INTERRUPTED
    _end_on_interrupt(code)
    return code


def _end_on_interrupt(code: int) -> None:
    """Have Ctrl-C end the process at once: nothing has begun yet, or all is done."""

    def end(_number: int, _frame: object) -> None:
        os._exit(code)

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a job in the background ignores it
        signal.signal(signal.SIGINT, end)


def _interrupt_as_usual() -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
