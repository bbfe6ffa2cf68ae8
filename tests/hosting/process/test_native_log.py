# SPDX-License-Identifier: GPL-3.0-only
import logging
import os

import pytest

from modeld.hosting.process.native_log import (
    KEPT_LINES,
    LINES_PER_SECOND,
    MAX_LINE_BYTES,
    NativeLog,
)


class Seconds:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Seconds:
    return Seconds()


@pytest.fixture
def output(clock: Seconds, caplog: pytest.LogCaptureFixture) -> NativeLog:
    caplog.set_level(logging.DEBUG, logger="modeld.worker")
    output = NativeLog(clock)
    output.label = "smol"
    return output


def test_lines_are_kept_and_logged_under_the_models_name(
    output: NativeLog, caplog: pytest.LogCaptureFixture
) -> None:
    output.data_received(b"one\ntwo\n")

    assert output.tail() == ("one", "two")
    assert caplog.messages == ["smol: one", "smol: two"]


def test_what_is_left_in_the_pipe_of_a_process_that_is_gone_is_taken(output: NativeLog) -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.write(write_end, b"one\nlast words")
    with os.fdopen(read_end, "rb") as pipe:
        output.drain(pipe)
        assert output.tail() == ("one",), "a process of its own still holds the pipe"
        os.close(write_end)
        output.drain(pipe)
    assert output.tail() == ("one", "last words")
    output.drain(pipe)


def test_a_line_may_come_in_pieces(output: NativeLog) -> None:
    for piece in (b"o", b"ne", b"\ntw", b"o\nthr"):
        output.data_received(piece)

    assert output.tail() == ("one", "two")
    output.data_received(b"ee\n")
    assert output.tail() == ("one", "two", "three")


def test_the_last_line_needs_no_end(output: NativeLog) -> None:
    output.data_received(b"Segmentation fault")
    assert output.tail() == ()

    output.eof_received()

    assert output.tail() == ("Segmentation fault",)


def test_only_the_last_lines_are_kept(output: NativeLog) -> None:
    for number in range(1000):
        output.data_received(b"line %d\n" % number)

    assert output.tail() == tuple(f"line {number}" for number in range(1000 - KEPT_LINES, 1000))


def test_the_last_lines_of_one_long_burst_are_kept(output: NativeLog) -> None:
    output.data_received(b"".join(b"line %d\n" % number for number in range(5000)))

    assert output.tail() == tuple(f"line {number}" for number in range(5000 - KEPT_LINES, 5000))


def test_long_lines_are_cut(output: NativeLog) -> None:
    output.data_received(b"x" * 100_000 + b"\nshort\n")

    assert output.tail() == ("x" * MAX_LINE_BYTES, "short")


def test_a_line_without_an_end_takes_no_memory(output: NativeLog) -> None:
    for _ in range(1000):
        output.data_received(b"x" * 1000)

    assert len(output._partial) <= MAX_LINE_BYTES
    output.data_received(b"\n")
    assert output.tail() == ("x" * MAX_LINE_BYTES,)


def test_what_is_not_utf8_and_what_is_empty_does_no_harm(output: NativeLog) -> None:
    output.data_received(b"\xff\xfe\n\n   \ngr\xc3\xbc\xc3\x9fe\r\n")

    assert output.tail() == ("\ufffd\ufffd", "grüße")


def test_a_flood_costs_the_log_little_and_is_counted(
    output: NativeLog, clock: Seconds, caplog: pytest.LogCaptureFixture
) -> None:
    output.data_received(b"one\n")
    for _ in range(100):
        output.data_received(b"blah\n" * 1000)
    assert len(caplog.messages) == LINES_PER_SECOND

    clock.now_s += 1
    output.data_received(b"calm\n")

    assert caplog.messages[LINES_PER_SECOND:] == [
        f"smol: {100_001 - LINES_PER_SECOND} lines dropped",
        "smol: calm",
    ]


def test_control_characters_of_a_worker_reach_no_terminal(
    output: NativeLog, caplog: pytest.LogCaptureFixture
) -> None:
    """How a line is made safe is the log's business; here it stays one line."""
    output.data_received(b"a\rb\x1b[2Jc\n")

    assert len(caplog.messages) == 1
