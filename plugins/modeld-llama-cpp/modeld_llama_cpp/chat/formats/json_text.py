# SPDX-License-Identifier: GPL-3.0-only
"""JSON texts, read as they come, and no more than JSON allows."""

from __future__ import annotations

import json
import re

from modeld_llama_cpp.chat.formats.reader import BrokenCallError, Reader, Reading

MAX_DEPTH = 64
"""How deep objects and arrays may be inside one another: whoever reads arguments may recur."""

_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_NUMBER_SIGNS = re.compile(r"[-+.0-9eE]+")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_HEX = frozenset("0123456789abcdefABCDEF")
_WORDS = {"t": "true", "f": "false", "n": "null"}


def read_value(reader: Reader, depth: int = 0) -> Reading[None]:
    """Read a value.

    Raises:
        BrokenCallError: it is no JSON, too deep, or has not come to its end.
    """
    sign = yield from reader.peek()
    if sign in ("{", "["):
        if depth == MAX_DEPTH:
            raise BrokenCallError
        yield from (read_object if sign == "{" else _read_array)(reader, depth + 1)
    elif sign == '"':
        yield from _read_string(reader, ascertain=True)
    elif sign in _WORDS:
        yield from reader.expect(_WORDS[sign])
    else:
        number = yield from reader.run(_NUMBER_SIGNS)
        if not _NUMBER.fullmatch(number):
            raise BrokenCallError
    reader.ascertain()


def read_object(reader: Reader, depth: int = 1) -> Reading[None]:
    """Read an object."""
    yield from reader.expect("{")
    yield from reader.skip_spaces()
    closed = yield from reader.skip("}")
    while not closed:
        yield from _read_string(reader)
        yield from reader.skip_spaces()
        yield from reader.expect(":")
        yield from reader.skip_spaces()
        yield from read_value(reader, depth)
        closed = yield from at_end(reader, "}")
    reader.ascertain()


def read_text(reader: Reader) -> Reading[str]:
    """Read a string, and return the text that it stands for."""
    start = reader.position
    yield from _read_string(reader)
    text: str = json.loads(reader.since(start))
    return text


def at_end(reader: Reader, closing: str) -> Reading[bool]:
    """Read what follows an item: the closing sign, and return true, or a comma."""
    yield from reader.skip_spaces()
    if (yield from reader.skip(closing)):
        return True
    yield from reader.expect(",")
    yield from reader.skip_spaces()
    return False


def is_object(text: str) -> bool:
    """Return whether a text is an object as a whole."""
    return text.lstrip()[:1] == "{" and is_json(text)


def is_json(text: str) -> bool:
    """Return whether a text is a value as a whole."""
    reader = Reader(text.strip(), ended=True)
    try:
        for _ in read_value(reader):
            pass
    except BrokenCallError:
        return False
    return not reader.rest


def _read_array(reader: Reader, depth: int) -> Reading[None]:
    yield from reader.expect("[")
    yield from reader.skip_spaces()
    closed = yield from reader.skip("]")
    while not closed:
        yield from read_value(reader, depth)
        closed = yield from at_end(reader, "]")


def _read_string(reader: Reader, *, ascertain: bool = False) -> Reading[None]:
    yield from reader.expect('"')
    while True:
        yield from reader.run(_PLAIN, certain=ascertain)
        if (yield from reader.skip('"')):
            return
        yield from _read_escape(reader)


def _read_escape(reader: Reader) -> Reading[None]:
    yield from reader.expect("\\")
    sign = yield from reader.peek()
    if not sign or sign not in '"\\/bfnrtu':
        raise BrokenCallError
    reader.advance(1)
    if sign != "u":
        return
    unit = yield from _read_unit(reader)
    if 0xD800 <= unit < 0xDC00:  # half of a character, which no text may have alone
        yield from reader.expect("\\u")
        if not 0xDC00 <= (yield from _read_unit(reader)) < 0xE000:
            raise BrokenCallError
    elif 0xDC00 <= unit < 0xE000:
        raise BrokenCallError


def _read_unit(reader: Reader) -> Reading[int]:
    digits = ""
    for _ in range(4):
        digit = yield from reader.peek()
        if digit not in _HEX:
            raise BrokenCallError
        reader.advance(1)
        digits += digit
    return int(digits, 16)
