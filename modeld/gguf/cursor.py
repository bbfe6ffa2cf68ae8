# SPDX-License-Identifier: GPL-3.0-only
"""A position in a GGUF file that moves forwards only and trusts no number it reads."""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet
from struct import Struct
from typing import Any

WINDOW_BYTES = 64 << 10
"""How much is read ahead; the header of a small model fits into one window."""

MAX_HEADER_BYTES = 256 << 20
"""Where a header must have ended; that of Gemma 3 with its 262,144 words ends at 6 MiB."""

_U32 = Struct("<I")
_U64 = Struct("<Q")


class GgufError(ValueError):
    """A file is not a GGUF file that can be used; ``reason`` says why, without naming the file."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class GgufCutError(GgufError):
    """A file ends before it should; where it is still being written, the rest comes."""


class GgufUnreadableError(GgufError):
    """A file could not be read this time; its bytes may be fine."""


def shown(text: str) -> str:
    """Return a piece of a broken file's text for an error message: quoted, escaped and cut."""
    return repr(text if len(text) <= 60 else text[:60] + "…")


class Cursor:
    """Reads the file behind ``descriptor``, of ``size_bytes``, from its beginning.

    ``part`` names what is being read, for error messages; whoever reads sets it. Every method
    raises :class:`GgufError` where the file ends too early or the header is too large, and
    ``OSError`` where the file cannot be read.
    """

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self.part = "the header"
        self.size_bytes = size_bytes
        self._descriptor = descriptor
        self._window = b""
        self._start = 0
        self._at = 0

    @property
    def position(self) -> int:
        """Return how many bytes of the file lie behind."""
        return self._start + self._at

    @property
    def remaining(self) -> int:
        """Return how many bytes of the file lie ahead."""
        return self.size_bytes - self.position

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes, and allocate nothing if the file does not have them."""
        at = self._advance(count)
        return self._window[at : at + count]

    def unpack(self, layout: Struct) -> tuple[Any, ...]:
        """Return the next values, stored as ``layout`` says."""
        at = self._advance(layout.size)
        return layout.unpack_from(self._window, at)

    def u32(self) -> int:
        """Return the next 32-bit number without a sign."""
        at = self._advance(4)
        number: int = _U32.unpack_from(self._window, at)[0]
        return number

    def u64(self) -> int:
        """Return the next 64-bit number without a sign."""
        at = self._advance(8)
        number: int = _U64.unpack_from(self._window, at)[0]
        return number

    def require(self, count: int) -> None:
        """Make sure that the file goes on for ``count`` bytes and the header may, too."""
        if count > self.remaining:
            raise self._cut(count, found=self.remaining)
        if self.position + count > MAX_HEADER_BYTES:
            raise GgufError(
                f"{self.part} ends behind byte {MAX_HEADER_BYTES}, where a header must have ended"
            )

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes without reading them."""
        if self._at + count <= len(self._window):
            self._at += count
            return
        self.require(count)
        self._start, self._at, self._window = self.position + count, 0, b""

    def skip_strings(self, count: int, wanted: AbstractSet[bytes] = frozenset()) -> set[bytes]:
        """Pass over ``count`` strings, and return those of the ``wanted`` ones that are among them.

        It is one quick loop, as a vocabulary has hundreds of thousands.
        """
        unpack, found = _U64.unpack_from, set[bytes]()
        sizes, signs = frozenset(map(len, wanted)), frozenset(text[-1] for text in wanted)
        while count:
            at, size = self._advance(8), 0
            window, end, last = self._window, len(self._window), len(self._window) - 8
            while count and at <= last:
                size = unpack(window, at)[0]
                at += 8 + size
                count -= 1
                # A text is made of the few alone that end as a wanted one does.
                if size in sizes and at <= end and window[at - 1] in signs:
                    found |= wanted & {window[at - size : at]}
            if at > end and size in sizes:  # the window has only a part of the last one
                self._at = at - size
                found |= wanted & {self.take(size)}
            else:
                self._at = min(at, end)
                self.skip(at - self._at)
        return found

    def _advance(self, count: int) -> int:
        """Make sure that the window holds the next ``count`` bytes; where in it they begin."""
        at = self._at
        if at + count > len(self._window):
            self._fill(count)
            at = 0
        self._at = at + count
        return at

    def _fill(self, count: int) -> None:
        self.require(count)
        start = self.position
        window = os.pread(self._descriptor, max(count, WINDOW_BYTES), start)
        if len(window) < count:  # it has shrunk since it was opened
            raise self._cut(count, found=len(window))
        self._window, self._start, self._at = window, start, 0

    def _cut(self, count: int, *, found: int) -> GgufCutError:
        return GgufCutError(
            f"the file is cut in {self.part}: at byte {self.position} it should go on for"
            f" at least {count} bytes, but there are {found}"
        )
