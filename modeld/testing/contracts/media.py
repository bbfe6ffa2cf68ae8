# SPDX-License-Identifier: GPL-3.0-only
"""An image and a sound of few bytes, for models that take such parts."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from typing import Final

SIDE: Final = 8


def an_image() -> bytes:
    """Return a small grey PNG."""
    rows = b"".join(b"\0" + b"\x80" * (3 * SIDE) for _ in range(SIDE))
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def a_sound() -> bytes:
    """Return a tenth of a second of silence as WAV."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(16_000)
        written.writeframes(bytes(3200))
    return file.getvalue()


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
