# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest

from modeld.cli.table import rows_as_text, size_text


def test_columns_are_as_wide_as_their_content():
    text = rows_as_text(("NAME", "N"), [("a", "10"), ("longer name", "")])
    assert text.splitlines() == ["NAME         N", "a            10", "longer name  -"]


def test_a_table_without_rows_is_its_header():
    assert rows_as_text(("NAME", "SIZE"), []) == "NAME  SIZE"


def test_a_cell_cannot_leave_its_row():
    assert rows_as_text(("NAME",), [("a\nb\x1b[2J",)]).splitlines() == ["NAME", r"a\nb\x1b[2J"]


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (98362432, "93.8 MiB"),
        (5 << 30, "5.0 GiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_a_size_is_in_the_unit_that_keeps_it_short(size_bytes, expected):
    assert size_text(size_bytes) == expected
