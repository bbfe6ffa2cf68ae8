# SPDX-License-Identifier: GPL-3.0-only
"""JSON that stays on one line, for streams that are read line by line."""

from __future__ import annotations

from typing import Final

import msgspec

_CHARACTERS_PER_PIECE: Final = 1 << 16

# JSON escapes what ends a line in ASCII. These end one for many readers too (str.splitlines).
_LINE_ENDS: Final = tuple(
    (character.encode(), rb"\u%04x" % ord(character)) for character in "\u0085\u2028\u2029"
)

_encode = msgspec.json.Encoder().encode


def json_line(document: object) -> bytes:
    """Return a document as JSON without any line end in it."""
    return on_one_line(_encode(document))


def json_text(text: str) -> bytes:
    """Return the same of a text, which takes less time."""
    return _encode(text) if text.isascii() else on_one_line(_encode(text))


def json_long_text(text: str) -> msgspec.Raw:
    """Return the same of a text of any length.

    It is encoded in pieces: nothing else can run while one call encodes a very long text.
    """
    pieces = [
        json_text(text[start : start + _CHARACTERS_PER_PIECE])[1:-1]
        for start in range(0, len(text), _CHARACTERS_PER_PIECE)
    ]
    return msgspec.Raw(b'"%b"' % b"".join(pieces))


def on_one_line(line: bytes) -> bytes:
    """Return JSON with what some readers take for the end of a line escaped."""
    if line.isascii():
        return line
    for character, escape in _LINE_ENDS:
        line = line.replace(character, escape)
    return line
