# SPDX-License-Identifier: GPL-3.0-only
"""The last lines of a server, whatever it writes."""

from __future__ import annotations

from modeld_upstream.spawning.output import KEPT_LINES, MAX_LINE_BYTES, Output


def test_lines_are_put_together_and_the_last_ones_kept() -> None:
    output = Output("here")
    for piece in (b"on", b"e\ntw", b"o\r\n", b"50%\r100%\r\n", b"rest"):
        output.feed(piece)
    assert output.tail() == ("one", "two", "50%", "100%", "rest")
    assert output.seen_bytes == 23


def test_a_flood_is_bounded() -> None:
    output = Output("here")
    output.feed(b"\n".join(b"%d" % number for number in range(1000)) + b"\n")
    output.feed(b"x" * 10_000 + b"\n")
    assert len(output.tail()) == KEPT_LINES
    assert len(output.tail()[-1]) == MAX_LINE_BYTES


def test_a_server_that_writes_nothing_has_no_last_words() -> None:
    assert Output("here").tail() == ()
