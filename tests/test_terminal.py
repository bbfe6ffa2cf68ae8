# SPDX-License-Identifier: GPL-3.0-only
"""Safe text, its width, tables, and progress, as terminals show them."""

from __future__ import annotations

import fcntl
import io
import os
import struct
import sys
import termios
import tty
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.terminal import (
    clipped,
    columns,
    progress,
    progress_line,
    rows_as_text,
    silence,
    visible,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, ümläute, 漢字, 🙂", "plain text, ümläute, 漢字, 🙂"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x1b[2Jcleared", r"\x1b[2Jcleared"),
        ("a\u2028b\u0085c", r"a\u2028b\x85c"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\udcff", r"\udcff"),
        ("\x9b31m", r"\x9b31m"),
        ("nul\0", r"nul\x00"),
    ],
)
def test_what_could_forge_or_garble_a_line_is_escaped(text, expected):
    assert visible(text) == expected


def test_what_is_kept_stays():
    assert visible("a\tb\n\x1bc", keep="\n\t") == "a\tb\n\\x1bc"


@given(st.text())
def test_any_text_becomes_printable(text):
    shown = visible(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    shown.encode()


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("", 0),
        ("abc", 3),
        ("äöü", 3),
        ("a\u0308", 1),  # a letter and the dots above it
        ("模型", 4),
        ("\uff21\uff22", 4),  # two full-width letters
        ("ｱ", 1),
        ("🦙.gguf", 7),
        ("\u1112\u1161\u11ab", 2),  # one syllable of Hangul in three letters
        ("☀\ufe0f", 2),
    ],
)
def test_a_text_takes_as_many_columns_as_a_terminal_gives_it(text, width):
    assert columns(text) == width


@pytest.mark.parametrize(
    ("width", "shown"),
    [(12, "loading tiny"), (11, "loading ..."), (4, "l..."), (3, "loa"), (0, "")],
)
def test_what_does_not_fit_ends_with_dots(width, shown):
    assert clipped("loading tiny", width) == shown


def test_a_letter_is_not_parted_from_its_marks_nor_a_wide_one_cut_in_half():
    assert clipped("a\u0308a\u0308a\u0308a\u0308a\u0308", 4) == "a\u0308..."
    assert clipped("模型模型", 6) == "模..."


@given(st.text(st.characters(exclude_categories=["C", "Z"])), st.integers(0, 40))
def test_no_text_is_wider_than_it_may_be(text, width):
    assert columns(clipped(text, width)) <= width


def test_columns_of_a_table_stand_below_each_other_in_every_script():
    shown = rows_as_text(["MODEL", "SIZE"], [["模型", "1 B"], ["tiny", "2 B"]])
    assert shown.splitlines() == ["MODEL  SIZE", "模型   1 B", "tiny   2 B"]


def test_columns_are_as_wide_as_their_content():
    text = rows_as_text(("NAME", "N"), [("a", "10"), ("longer name", "")])
    assert text.splitlines() == ["NAME         N", "a            10", "longer name  -"]


def test_a_table_without_rows_is_its_header():
    assert rows_as_text(("NAME", "SIZE"), []) == "NAME  SIZE"


def test_a_cell_cannot_leave_its_row():
    assert rows_as_text(("NAME",), [("a\nb\x1b[2J",)]).splitlines() == ["NAME", r"a\nb\x1b[2J"]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen_of(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Standard error from now on; pytest has its own before the test begins."""
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def test_without_a_terminal_long_work_is_one_line(capsys):
    with progress("measuring \x1b") as show:
        show(0.5)
    assert capsys.readouterr().err == "measuring \\x1b\n"


def test_a_bar_is_as_long_as_what_was_done(monkeypatch):
    screen = screen_of(monkeypatch)
    with progress("measuring\x1b[2J") as show:
        show(0.25)
        assert " 25%" in screen.getvalue()
        show(0.1)
        show(7.0)
        assert "\x1b[2J" not in screen.getvalue()
    assert " 10%" not in screen.getvalue()


def test_work_that_ends_is_shown_to_its_end(monkeypatch):
    screen = screen_of(monkeypatch)
    with progress("measuring"):
        pass
    assert "100%" in screen.getvalue()


def test_work_that_fails_is_not_shown_as_done(monkeypatch):
    screen = screen_of(monkeypatch)

    def work() -> None:
        with progress("measuring") as show:
            show(0.5)
            raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        work()
    assert " 50%" in screen.getvalue()
    assert "100%" not in screen.getvalue()


def test_silence_shows_nothing(monkeypatch):
    screen = screen_of(monkeypatch)
    with silence("measuring") as show:
        show(0.5)
    assert screen.getvalue() == ""


class Window:
    """A terminal that can be resized, and all that was written to it."""

    def __init__(self, columns: int, encoding: str = "utf-8") -> None:
        self._ours, theirs = os.openpty()
        tty.setraw(theirs)  # line ends arrive as they were written
        self.stream = open(theirs, "w", encoding=encoding)  # noqa: PTH123, SIM115
        self.resize(columns)

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def close(self) -> None:
        self.stream.close()
        os.close(self._ours)

    def lines(self) -> list[str]:
        """Return what stood in the terminal's line, one after the other; it stays one line."""
        data = b""
        while not data.endswith(b"\n"):  # it comes in pieces
            data += os.read(self._ours, 4096)
        shown = data.decode(self.stream.encoding)
        assert shown.startswith("\r")
        assert shown.count("\n") <= 1
        return shown.removesuffix("\n").split("\r")[1:]


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Window]]:
    made: list[Window] = []

    def make(columns: int, encoding: str = "utf-8") -> Window:
        made.append(Window(columns, encoding))
        monkeypatch.setattr(sys, "stderr", made[-1].stream)
        return made[-1]

    yield make
    for each in made:
        each.close()


LABELS = ["loading x.gguf", "loading " + "very-long-name-" * 20 + ".gguf", "loading " + "模型" * 60]


@pytest.mark.parametrize("label", LABELS, ids=["short", "long", "wide"])
@pytest.mark.parametrize("width", [1, 5, 10, 20, 40, 61, 62, 80, 200])
def test_progress_stays_in_one_line_of_a_terminal_of_any_width(window, width, label):
    shown = window(width)
    with progress(label) as show:
        for step in range(11):
            show(step / 10)
    lines = shown.lines()
    assert all(columns(line) < max(2, width) for line in lines)
    if width >= 10:
        assert lines[0].endswith("0%")
        assert lines[-1].endswith("100%")
    if width >= 40:
        assert lines[-1].startswith("loading ")


def test_progress_covers_what_a_resized_terminal_has_joined_to_its_line(window):
    shown = window(100)
    with progress("loading x.gguf") as show:
        shown.resize(40)
        show(0.5)
        shown.resize(120)
        show(0.5)
    first, narrow, wide, *_ = shown.lines()
    assert columns(first) < 100
    assert columns(narrow) == 39
    assert columns(wide) == 119


def test_progress_follows_when_the_terminal_is_resized(window):
    shown = window(200)
    with progress(LABELS[1]) as show:
        show(0.25)
        shown.resize(30)
        show(0.5)
        shown.resize(120)
        show(0.75)
    widths = [columns(line) for line in shown.lines()]
    assert widths == [199, 199, 29, 119, 119]


def test_what_is_left_of_a_longer_line_is_wiped_out(window):
    shown = window(200)
    with progress("x") as show:
        show(0.25)
        shown.resize(12)
        show(0.5)
    assert shown.lines()[2] == "x   50%" + " " * 4


def test_escapes_of_a_poor_terminal_count_as_they_are_written(window):
    shown = window(40, "latin-1")
    with progress("loading 模型模型模型模型模型.gguf"):
        pass
    lines = shown.lines()
    assert lines[0].startswith("loading \\u6a21")
    assert {columns(line) for line in lines} == {39}


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (80, "loading tiny.gguf  [##################------------------]   50%"),
        (39, "loading tiny.gguf  [######------]   50%"),
        (35, "loading tiny.gguf  [####----]   50%"),
        (34, "loading tiny.gguf   50%"),
        (20, "loading tin...   50%"),
        (3, "50%"),
    ],
)
def test_the_bar_makes_room_for_the_label_and_that_for_the_percentage(width, shown):
    assert progress_line("loading tiny.gguf", 0.5, width) == shown
    assert columns(shown) <= width


def test_an_update_that_changes_nothing_is_not_written(window):
    shown = window(80)
    with progress("x") as show:
        for step in range(1000):
            show(step / 100_000)
    assert len(shown.lines()) <= 3
