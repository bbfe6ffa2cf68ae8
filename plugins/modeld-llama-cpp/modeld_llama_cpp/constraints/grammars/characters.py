# SPDX-License-Identifier: GPL-3.0-only
"""Sets of characters, as sorted, disjoint ranges of code points."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MAX_CODE = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _,;:!@=<>'%~")


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a set; both ends of each range are included."""

    ranges: tuple[tuple[int, int], ...]

    @property
    def single(self) -> int | None:
        """Return the code point of the only character, or None if there are several or none."""
        if len(self.ranges) == 1 and self.ranges[0][0] == self.ranges[0][1]:
            return self.ranges[0][0]
        return None


def chars(ranges: Iterable[tuple[int, int]]) -> Chars:
    """Return the set of the characters in ranges that may be unsorted and overlap."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return Chars(tuple(merged))


def char(code: int) -> Chars:
    """Return the set of one character."""
    return Chars(((code, code),))


def others(given: Chars, *, lowest: int = 0) -> Chars:
    """Return the set of all characters from ``lowest`` on but those given.

    Halves of surrogate pairs are no characters and never among them.
    """
    gaps, start = [], lowest
    for low, high in chars([*given.ranges, _SURROGATES]).ranges:
        if start < low:
            gaps.append((start, low - 1))
        start = max(start, high + 1)
    if start <= MAX_CODE:
        gaps.append((start, MAX_CODE))
    return Chars(tuple(gaps))


def common(one: Chars, other: Chars) -> Chars:
    """Return the set of the characters that both have."""
    return Chars(
        tuple(
            (max(a, c), min(b, d))
            for a, b in one.ranges
            for c, d in other.ranges
            if max(a, c) <= min(b, d)
        )
    )


def written(code: int) -> str:
    """Return a character as a regular expression of any dialect has it."""
    if chr(code) in _PLAIN:
        return chr(code)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def class_of(found: Chars) -> str:
    """Return a set as a regular expression for one of its characters."""
    if found.single is not None:
        return written(found.single)
    inner = "".join(
        written(low) if low == high else f"{written(low)}-{written(high)}"
        for low, high in found.ranges
    )
    return f"[{inner}]"
