# SPDX-License-Identifier: GPL-3.0-only
"""llama.cpp's log: warnings and errors go to standard error, and a load can read along.

llama.cpp has one log function per process. During decoding it logs nothing, so going through
Python costs nothing per token.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple

import llama_cpp

_INFO, _WARN, _ERROR, _CONTINUED = 2, 3, 4, 5


class LogLine(NamedTuple):
    """One logged line with ggml's level for it."""

    level: int
    text: str

    @property
    def is_error(self) -> bool:
        """Return whether it reports an error."""
        return self.level == _ERROR


class _Thread(threading.local):
    """Where the lines of one thread go. ``quiet`` keeps them from standard error."""

    level: int = _INFO
    lines: list[LogLine] | None = None
    quiet: bool = False


_thread = _Thread()


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _on_text(level: int, text: bytes, _user_data: object) -> None:
    if level != _CONTINUED:  # one line may come in several calls, and the first has its level
        _thread.level = level
    if _thread.level < _INFO:
        return
    line = LogLine(_thread.level, text.decode(errors="replace"))
    if _thread.lines is not None:
        _thread.lines.append(line)
    if line.level >= _WARN and not _thread.quiet:
        write(line)


def install() -> None:
    """Take over llama.cpp's log for the whole process. May be called again."""
    llama_cpp.llama_log_set(_on_text, ctypes.c_void_p(0))


@contextmanager
def captured() -> Generator[list[LogLine], None, None]:
    """Collect the lines that the calling thread logs inside, from level info on."""
    lines: list[LogLine] = []
    _thread.lines = lines
    try:
        yield lines
    finally:
        _thread.lines = None


class Withheld:
    """Collects as :func:`captured` does and writes nothing: the caller decides with :func:`write`.

    A plain class, because every step goes through it and a generator costs more.
    """

    def __enter__(self) -> list[LogLine]:
        lines: list[LogLine] = []
        _thread.lines, _thread.quiet = lines, True
        return lines

    def __exit__(self, *_exc: object) -> None:
        _thread.lines, _thread.quiet = None, False


def write(line: LogLine) -> None:
    """Write a line to standard error."""
    sys.stderr.write(line.text)
