# SPDX-License-Identifier: GPL-3.0-only
"""Server-sent events, and JSON that stays on one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

DONE: Final = b"data: [DONE]\n\n"
"""What ends a stream that ended well."""

EVENTS: Final = "text/event-stream"

_CHARACTERS_PER_PIECE = 1 << 16

# JSON escapes what ends a line in ASCII. These end one for many readers too (str.splitlines).
_LINE_ENDS = tuple(
    (character.encode(), rb"\u%04x" % ord(character)) for character in "\u0085\u2028\u2029"
)

_encode = msgspec.json.Encoder().encode


def json_text(text: str) -> bytes:
    """Return a text as JSON without any line end in it."""
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


def event(document: object) -> bytes:
    """Return a document as an event."""
    return b"data: " + on_one_line(_encode(document)) + b"\n\n"


def named_event(name: str, document: Mapping[str, object]) -> bytes:
    """Return a document as an event that has a name."""
    return b"event: %b\n" % name.encode() + event(document)


def on_one_line(line: bytes) -> bytes:
    """Return JSON with what some readers take for the end of a line escaped."""
    if line.isascii():
        return line
    for character, escape in _LINE_ENDS:
        line = line.replace(character, escape)
    return line
