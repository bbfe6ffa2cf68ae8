# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.cli.visible import visible


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
