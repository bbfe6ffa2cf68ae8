# SPDX-License-Identifier: GPL-3.0-only
"""What commands write on terminals: safe text, its width, tables, and the progress of long work.

It is open to plugins whose commands write such things too.
"""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Final, TextIO, TypeAlias

import click

Show: TypeAlias = Callable[[float], None]
"""Is told now and then which part of the work is done, from 0.0 to 1.0."""

_LONGEST_BAR: Final = 36
_SHORTEST_BAR: Final = 8
_USUAL_WIDTH: Final = 80

_CUT: Final = "..."
_NARROW_END: Final = 0x1100
"""Before this, the first letters of Hangul, no character is wide."""

_JOINING_JAMO: Final = range(0x1160, 0x1200)
_EMOJI_STYLE: Final = "\ufe0f"
"""Makes the character before it an emoji, which has two columns."""

# A codec is a module that is read when it is first used, and then there may be no file to be had.
codecs.lookup("unicode_escape")


def visible(text: str, keep: str = "") -> str:
    r"""Return ``text`` with every character escaped that is not printable and not in ``keep``.

    That covers control characters such as ESC, line separators such as U+2028, marks that change
    the direction of writing, and lone surrogates. Each becomes ``\n``, ``\x1b`` or ``\u2028``.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def columns(text: str) -> int:
    """Return how many columns ``text`` takes at most: one line, no control characters."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def clipped(text: str, width: int) -> str:
    """Return ``text`` if it fits into ``width`` columns, else its beginning and dots."""
    if columns(text) <= width:
        return text
    cut = _CUT if width > len(_CUT) else ""
    ends = accumulate(map(_columns_of, text))
    kept = sum(end <= width - len(cut) for end in ends)
    return text[:kept] + cut


def _columns_of(character: str) -> int:
    code = ord(character)
    if character == _EMOJI_STYLE:
        return 1
    if unicodedata.category(character) in {"Mn", "Me", "Cf"} or code in _JOINING_JAMO:
        return 0
    if code < _NARROW_END:
        return 1
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def rows_as_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with columns as wide as their content; an empty cell is a ``-``."""
    cells = [list(header), *([visible(cell) or "-" for cell in row] for row in rows)]
    widths = [max(map(columns, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(_padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - columns(cell))


def count_text(number: int, noun: str) -> str:
    """Return a number of things, like ``1 client`` and ``4 clients``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@contextmanager
def progress(label: str) -> Iterator[Show]:
    """Show on standard error how far the work of a block is: a bar on a terminal, else one line.

    The bar is full when the block ends without an error.
    """
    label = visible(label)
    if not sys.stderr.isatty():
        click.echo(label, err=True)
        yield _ignore
        return
    bar = _Bar(label, sys.stderr)
    try:
        bar.show(0.0)
        yield bar.show
        bar.show(1.0)
    finally:
        bar.end()


@contextmanager
def silence(label: str) -> Iterator[Show]:  # noqa: ARG001  (nobody sees it)
    """Show nothing, where :func:`progress` would."""
    yield _ignore


def progress_line(label: str, fraction: float, width: int) -> str:
    """Return the label, a bar and a percentage in at most ``width`` columns.

    What there is no room for is left out: first a part of the bar, then all of it, then the end
    of the label.
    """
    percent = f"{fraction:4.0%}"
    available = width - len(percent) - 2
    size = min(_LONGEST_BAR, available - columns(label) - len("[]  "))
    if size >= _SHORTEST_BAR:
        full = round(fraction * size)
        return f"{label}  [{'#' * full}{'-' * (size - full)}]  {percent}"
    return f"{clipped(label, max(0, available))}  {percent}"[-width:]


class _Bar:
    """One line that is written over again whenever it changes; it never goes back."""

    def __init__(self, label: str, screen: TextIO) -> None:
        # What the terminal's encoding lacks is written as an escape, which takes columns too.
        encoding = screen.encoding or "utf-8"
        self._label = label.encode(encoding, "backslashreplace").decode(encoding)
        self._screen = screen
        self._fraction = 0.0
        self._shown = ""
        self._width = _usable_columns(screen)

    def show(self, fraction: float) -> None:
        """Draw how far the work is, in the width that the terminal has now."""
        self._fraction = max(self._fraction, min(1.0, fraction))
        width = _usable_columns(self._screen)
        text = progress_line(self._label, self._fraction, width)
        if text == self._shown and width == self._width:
            return
        # A terminal that is resized joins what it has wrapped: then anything may stand behind.
        covered = min(columns(self._shown), width) if width == self._width else width
        rest = covered - columns(text)
        self._shown, self._width = text, width
        self._screen.write(f"\r{text}{' ' * rest}")
        self._screen.flush()

    def end(self) -> None:
        """Leave the line as it is and begin the next."""
        self._screen.write("\n")
        self._screen.flush()


def _usable_columns(screen: TextIO) -> int:
    """Return all columns but the last, in which a terminal may already go on to the next line."""
    try:
        width = os.get_terminal_size(screen.fileno()).columns or _USUAL_WIDTH
    except OSError:
        width = _USUAL_WIDTH
    return max(1, width - 1)


def _ignore(fraction: float) -> None:
    """Take no notice."""
