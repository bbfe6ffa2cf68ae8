# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modeld_llama_cpp.tokens.detokenizer import TextStream
from modeld_llama_cpp.tokens.stops import Stop

CHARACTERS = (
    "\u00e9\u20ac\U0001f999",
    "a\U0001f468\u200d\U0001f469\u200d\U0001f467b",  # a family: three people and two joiners
    "\U0001f3f3\ufe0f\u200d\U0001f308\U0001f1eb\U0001f1f7",  # a rainbow flag, a country's flag
    "e\u0301\u0e01\u0e33",
)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def stream_with(stops: Iterable[str]) -> TextStream:
    return TextStream([Stop(text=stop) for stop in stops])


def feed(stream: TextStream, pieces: list[bytes]) -> list[str]:
    """What is shown, piece by piece, up to the end."""
    shown = []
    for piece in pieces:
        shown.append(stream.push(piece))
        if stream.stopped:
            return shown
    return [*shown, stream.flush()]


def test_a_character_is_shown_once_all_of_its_bytes_are_there() -> None:
    stream = TextStream()
    assert [stream.push(bytes([byte])) for byte in "a€".encode()] == ["a", "", "", "€"]


def test_bytes_that_cannot_become_a_character_are_replaced() -> None:
    stream = TextStream()
    assert stream.push(b"\xe2\x82") == ""
    assert stream.push(b"x\xff") == "\ufffdx\ufffd"


@pytest.mark.parametrize("text", CHARACTERS)
def test_a_character_that_the_end_cuts_is_left_out(text: str) -> None:
    data = text.encode()
    for end in range(len(data) + 1):
        whole = data[:end].decode(errors="ignore")
        assert "".join(feed(TextStream(), [data[:end]])) == whole
        bytewise = [bytes([byte]) for byte in data[:end]]
        assert "".join(feed(TextStream(), bytewise)) == whole
        assert "".join(feed(stream_with(["never there"]), bytewise)) == whole


def test_what_was_no_character_before_the_end_is_replaced_all_the_same() -> None:
    assert "".join(feed(TextStream(), [b"a\xff\xe2\x82", b"b\xf0\x9f\xa6"])) == "a\ufffd\ufffdb"


def test_a_stop_string_across_tokens_is_never_shown() -> None:
    stream = stream_with(["STOP"])
    assert [stream.push(piece) for piece in (b"go S", b"T", b"O", b"P on")] == ["go ", "", "", ""]
    assert stream.stopped
    assert stream.push(b"more") == ""
    assert stream.flush() == ""


def test_the_beginning_of_a_stop_string_is_shown_when_something_else_follows() -> None:
    stream = stream_with(["STOP"])
    assert [stream.push(piece) for piece in (b"S", b"T", b"A")] == ["", "", "STA"]


def test_the_beginning_of_a_stop_string_is_shown_at_the_end() -> None:
    assert feed(stream_with(["STOP"]), [b"a", b"ST"]) == ["a", "", "ST"]


def test_the_stop_string_that_begins_first_counts() -> None:
    stream = stream_with(["cd", "bcd", "zzz"])
    assert stream.push(b"abcd") == "a"
    assert stream.stop_text == "bcd"


def test_a_stop_string_that_overlaps_itself_is_found() -> None:
    stream = stream_with(["aab"])
    assert "".join(feed(stream, [b"a", b"a", b"a", b"b"])) == "a"
    assert stream.stopped


def test_half_a_character_at_the_end_is_no_part_of_a_stop_string() -> None:
    stream = stream_with(["!\ufffd"])
    assert feed(stream, [b"a!\xe2"]) == ["a", "!"]
    assert not stream.stopped


@given(st.text(), st.lists(st.integers(0, 10_000)))
def test_any_text_comes_out_as_it_went_in(text: str, cuts: list[int]) -> None:
    assert "".join(feed(TextStream(), pieces_of(text.encode(), cuts))) == text


@given(st.binary(), st.lists(st.integers(0, 10_000)))
def test_any_bytes_come_out_as_python_replaces_them(data: bytes, cuts: list[int]) -> None:
    expected = codecs.getincrementaldecoder("utf-8")("replace").decode(data)
    assert "".join(feed(TextStream(), pieces_of(data, cuts))) == expected


@given(
    st.text("ab€"),
    st.lists(st.text("ab€", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(0, 10_000)),
)
def test_text_ends_before_the_first_stop_string_however_it_is_cut(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    stream = stream_with(stops)
    shown = "".join(feed(stream, pieces_of(text.encode(), cuts)))
    found = [stop for stop in stops if stop in text]
    assert stream.stopped == bool(found)
    assert stream.stop_text in (found or [None])
    assert text.startswith(shown + (stream.stop_text or ""))
    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
    if not found:
        assert shown == text
