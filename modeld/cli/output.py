# SPDX-License-Identifier: GPL-3.0-only
"""Standard input, output and error in a form that every command can rely on.

What a terminal's encoding lacks is written as an escape. An output that takes no more is an error
with a name of its own, and standard error that takes no more is nobody's error: where should it
be said?
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Final, TextIO

_STANDARD: Final = (0, 1, 2)


class OutputError(Exception):
    """Standard output takes no more: its disk is full, or its reader has left."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"standard output cannot be written: {(cause.strerror or '').lower()}")
        self.reader_left = cause.errno == errno.EPIPE


class _Output(io.TextIOWrapper):
    """Raises :class:`OutputError` once; what is written after that goes nowhere."""

    def write(self, text: str) -> int:
        """Write text; raise the error the first time that it cannot be."""
        try:
            return super().write(text)
        except OSError as exc:
            raise self._give_up(exc) from exc

    def flush(self) -> None:
        """Write what is buffered; raise the error the first time that it cannot be."""
        try:
            super().flush()
        except OSError as exc:
            raise self._give_up(exc) from exc

    def _give_up(self, cause: OSError) -> OutputError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())  # what is held back still has to go when the process ends
        os.close(nowhere)
        return OutputError(cause)


class _Messages(io.TextIOWrapper):
    """Drops what cannot be written, and tries again with the next line."""

    def write(self, text: str) -> int:
        """Write text if that is possible."""
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        """Write what is buffered if that is possible."""
        try:
            super().flush()
        except OSError:
            return


def take_over() -> None:
    """Replace Python's own streams by those of this module."""
    for descriptor in _STANDARD:
        _see_that_it_is_open(descriptor)
    sys.stdout = _wrapped(_Output, 1, sys.stdout)
    sys.stderr = _wrapped(_Messages, 2, sys.stderr)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  (it is open as long as modeld runs)
    elif isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # a person may type what the encoding has not


def _see_that_it_is_open(descriptor: int) -> None:
    """Open a closed stream on nothing, lest the next file to be opened be taken for it."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # the lowest number that is free is this one


def _wrapped(kind: type[io.TextIOWrapper], descriptor: int, before: TextIO | None) -> TextIO:
    encoding, by_line = "utf-8", True
    if before is not None:
        before.flush()
        encoding = before.encoding
        by_line = bool(getattr(before, "line_buffering", True)) or bool(
            getattr(before, "write_through", False)
        )
    file = io.BufferedWriter(io.FileIO(descriptor, "wb", closefd=False))
    return kind(file, encoding=encoding, errors="backslashreplace", line_buffering=by_line)
