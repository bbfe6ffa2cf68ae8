# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import io
import sys

import pytest

from modeld.cli.progress import progress, silence


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
