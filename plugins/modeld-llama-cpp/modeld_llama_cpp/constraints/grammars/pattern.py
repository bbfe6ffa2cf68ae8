# SPDX-License-Identifier: GPL-3.0-only
"""Reads the syntax of regular expressions, and writes it for llguidance.

What is read is the common ground of the dialects, as ECMA-262 defines it. What is written has the
same meaning in Rust's and Python's dialect and matches a whole text, so that nothing depends on
what a dialect makes of a sign. A set that stands for more characters in some dialects than in
others (``\\W``, ``[^\\d]``, ``.``) is taken as narrowly as in any.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NoReturn

from modeld_llama_cpp.constraints.grammars.characters import (
    MAX_CODE,
    Chars,
    char,
    chars,
    class_of,
    common,
    others,
    written,
)
from modeld_llama_cpp.constraints.problem import ConstraintError

MAX_LENGTH = 4_096
MAX_NESTING = 50
MAX_REPEATS = 10_000
MAX_PRODUCT = 100_000
"""How large the product of repetitions inside one another may be."""

ANYTHING = "(?s:.*)"
_CODES = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_SIMPLE: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_SYNTAX = frozenset("^$.*+?()[]{}|\\/-")

_ANY = Chars(((0, MAX_CODE),))

_DIGIT = chars([(48, 57)])
_WORD = chars([(48, 57), (65, 90), (95, 95), (97, 122)])
_SPACE = chars([(9, 13), (32, 32)])
_ASCII = Chars(((32, 126),))
_ALL_SPACE = chars(
    [
        (9, 13), (28, 32), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x180E, 0x180E),
        (0x2000, 0x200B), (0x2028, 0x202F), (0x205F, 0x2060), (0x3000, 0x3000), (0xFEFF, 0xFEFF),
    ]
)  # fmt: skip
_LINE_ENDS = chars([(10, 10), (13, 13), (0x85, 0x85), (0x2028, 0x2029)])

_SETS = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_OUTSIDE = {_DIGIT: _ASCII, _WORD: _ASCII, _SPACE: others(_ALL_SPACE)}
"""What surely is outside of a set, in all dialects."""


def read_pattern(pattern: str, origin: str) -> str:
    """Return a regular expression for the whole texts that have a match for a pattern.

    Raises:
        ConstraintError: it is no pattern, or has something that llguidance cannot keep to.
    """
    try:
        return _read(pattern, False)  # noqa: FBT003  # one of two cached readings
    except ConstraintError as exc:
        raise ConstraintError(f"{origin}: {exc}") from None


def read_regex(pattern: str) -> str:
    """Return a regular expression for the texts that a pattern matches as a whole.

    Raises:
        ConstraintError: it is no pattern, or has something that llguidance cannot keep to.
    """
    return _read(pattern, True)  # noqa: FBT003  # one of two cached readings


@lru_cache(maxsize=1024)
def _read(pattern: str, whole: bool) -> str:  # noqa: FBT001  # one of two cached readings
    if len(pattern) > MAX_LENGTH:
        raise ConstraintError(f"it has {len(pattern)} characters; at most {MAX_LENGTH} are allowed")
    return _Reader(pattern, whole=whole).expression()


class _Reader:
    """Reads one pattern, by a call of :meth:`expression`."""

    def __init__(self, pattern: str, *, whole: bool) -> None:
        self._pattern = pattern
        self._whole = whole
        self._at = 0
        self._nesting = 0

    def expression(self) -> str:
        """Return the alternatives at the outside, where ``^`` and ``$`` may be."""
        found = []
        while True:
            at_start = self._anchor("^") or self._whole
            sequence, _ = self._sequence()
            at_end = self._anchor("$") or self._whole
            found.append(f"{'' if at_start else ANYTHING}{sequence}{'' if at_end else ANYTHING}")
            if not self._take("|"):
                break
        if self._peek():
            self._fail(f"`{self._peek()}` cannot be here")
        return found[0] if len(found) == 1 else f"(?:{'|'.join(found)})"

    def _anchor(self, sign: str) -> bool:
        found = False
        while self._take(sign):
            found = True
        return found

    def _nested(self) -> tuple[str, int]:
        found = [self._sequence()]
        while self._take("|"):
            found.append(self._sequence())
        return "|".join(each for each, _ in found), max(product for _, product in found)

    def _sequence(self) -> tuple[str, int]:
        """Return what stands between ``|``, and the largest product of repetitions in it."""
        found, largest = [], 1
        while self._peek() not in ("", "|", ")", "$"):
            start = self._at
            atom, product = self._atom()
            if (bounds := self._quantifier()) is not None:
                least, most = bounds
                product *= max(least, most or 1)
                if product > MAX_PRODUCT:
                    self._at = start
                    self._fail(
                        f"repetitions inside one another come to {product}; at most"
                        f" {MAX_PRODUCT} are allowed"
                    )
                atom += f"{{{least},{'' if most is None else most}}}"
            found.append(atom)
            largest = max(largest, product)
        return "".join(found), largest

    def _atom(self) -> tuple[str, int]:
        sign = self._peek()
        if sign == "(":
            return self._group()
        if sign == "[":
            return class_of(self._set()), 1
        if self._take("."):
            return class_of(others(_LINE_ENDS)), 1
        if sign == "\\":
            return class_of(self._escape()), 1
        if sign in _SIMPLE or sign in "^{":
            self._fail(f"`{sign}` cannot be here")
        self._at += 1
        return written(self._valid(ord(sign))), 1

    def _group(self) -> tuple[str, int]:
        self._at += 1
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            self._fail(f"groups are nested more than {MAX_NESTING} deep")
        if self._peek() == "?":
            self._skip_kind_of_group()
        inner, product = self._nested()
        if not self._take(")"):
            self._fail("a `)` is missing")
        self._nesting -= 1
        return f"(?:{inner})", product

    def _skip_kind_of_group(self) -> None:
        """Go over ``?:`` or a name, which matter to nobody who only asks whether a text fits."""
        if self._pattern.startswith("?:", self._at):
            self._at += 2
            return
        for opening in ("?<", "?P<"):
            name, closed, _ = self._pattern[self._at + len(opening) :].partition(">")
            if self._pattern.startswith(opening, self._at) and closed and name.isidentifier():
                self._at += len(opening) + len(name) + 1
                return
        self._fail("groups with `(?` are not supported, but for `(?:` and names")

    def _quantifier(self) -> tuple[int, int | None] | None:
        sign = self._peek()
        if sign in _SIMPLE:
            self._at += 1
            bounds = _SIMPLE[sign]
        elif sign == "{":
            bounds = self._counts()
        else:
            return None
        self._take("?")  # how many of the possible texts are tried first does not matter
        return bounds

    def _counts(self) -> tuple[int, int | None]:
        end = self._pattern.find("}", self._at)
        low, comma, high = self._pattern[self._at + 1 : end].partition(",")
        digits = (low + high).isascii() and low.isdecimal() and (high.isdecimal() or not high)
        if end < 0 or not digits:
            self._fail("`{` is not followed by numbers and `}`")
        if max(len(low), len(high)) > 9 or max(int(low), int(high or 0)) > MAX_REPEATS:
            self._fail(f"more than {MAX_REPEATS} repetitions are not allowed")
        least, most = int(low), (int(high) if high else None) if comma else int(low)
        if most is not None and most < least:
            self._fail("a repetition has bounds in the wrong order")
        self._at = end + 1
        return least, most

    def _set(self) -> Chars:
        self._at += 1
        inverse = self._take("^")
        ranges: list[tuple[int, int]] = []
        narrow = _ANY
        while not self._take("]"):
            low = self._member()
            narrow = common(narrow, _OUTSIDE.get(low, _ANY))
            if self._peek() == "-" and self._pattern[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                ranges += self._range(low, self._member())
            else:
                ranges += low.ranges
        found = chars(ranges)
        if inverse:
            found = common(others(found), narrow)
        if not ranges or not found.ranges:
            self._fail("a set has no characters")
        return found

    def _range(self, low: Chars, high: Chars) -> list[tuple[int, int]]:
        """Return a range, or what both and a ``-`` stand for where one of them is a set."""
        if low.single is None or high.single is None:
            return [*low.ranges, (45, 45), *high.ranges]
        if high.single < low.single:
            self._fail("a range has no valid bounds")
        return [(low.single, high.single)]

    def _member(self) -> Chars:
        sign = self._peek()
        if not sign:
            self._fail("a `]` is missing")
        if sign == "\\":
            return self._escape()
        self._at += 1
        return char(self._valid(ord(sign)))

    def _escape(self) -> Chars:
        kind = self._pattern[self._at + 1 : self._at + 2]
        self._at += 2
        if kind.lower() in _SETS:
            found = _SETS[kind.lower()]
            return found if kind.islower() else common(others(found), _OUTSIDE[found])
        if kind in _CODES and not (kind == "0" and self._peek().isdecimal()):
            return char(_CODES[kind])
        if kind in ("x", "u"):
            return char(self._valid(self._hexadecimal(2 if kind == "x" else 4)))
        if not kind or (kind not in _SYNTAX and (kind.isalnum() or not kind.isascii())):
            self._fail(f"`\\{kind}` is not supported")
        return char(ord(kind))

    def _hexadecimal(self, length: int) -> int:
        digits = self._pattern[self._at : self._at + length]
        self._at += length
        if len(digits) < length or set(digits) - set("0123456789abcdefABCDEF"):
            self._fail("an escape has too few digits")
        code = int(digits, 16)
        if 0xD800 <= code <= 0xDBFF and self._pattern.startswith("\\u", self._at):
            self._at += 2
            low = self._hexadecimal(4)
            if 0xDC00 <= low <= 0xDFFF:
                return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        return code

    def _valid(self, code: int) -> int:
        if 0xD800 <= code <= 0xDFFF:
            self._fail("characters must be whole, not halves of surrogate pairs")
        return code

    def _take(self, sign: str) -> bool:
        found = self._peek() == sign
        self._at += found
        return found

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _fail(self, problem: str) -> NoReturn:
        raise ConstraintError(f"{problem}, at character {self._at + 1}")
