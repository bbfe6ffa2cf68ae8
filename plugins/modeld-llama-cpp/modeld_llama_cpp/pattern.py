# SPDX-License-Identifier: GPL-3.0-only
"""Reads regular expressions, as JSON schemas have them, into rules for JSON strings.

A set that stands for more characters in some dialects than in others (``\\W``, ``[^\\d]``) is taken
as narrowly as in any, so that what is written matches in all.
"""

from __future__ import annotations

from modeld_llama_cpp.json_rules import ANY_CHAR, JsonRules, escaped
from modeld_llama_cpp.rules import (
    MAX_CODE,
    MAX_REPEATS,
    Alternative,
    Chars,
    Element,
    GrammarError,
    Repeat,
    Rules,
    chars,
    common,
    others,
    text,
)

MAX_LENGTH = 500
MAX_NESTING = 50

_DIGIT = chars([(48, 57)])
_WORD = chars([(48, 57), (65, 90), (95, 95), (97, 122)])
_SPACE = chars([(9, 13), (32, 32)])
_ASCII = Chars(((32, 126),))
_LINE_ENDS = chars([(10, 10), (13, 13), (0x85, 0x85), (0x2028, 0x2029)])

_SETS = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CODES = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0}
_SIMPLE: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_SYNTAX = frozenset("^$.*+?()[]{}|\\/-")


def read_pattern(
    pattern: str, rules: Rules, json: JsonRules, origin: str, *, whole: bool = False
) -> list[Alternative]:
    """What may be between the quotes of a string that has a match for a pattern.

    ``whole`` is for a pattern that all of the string must match.

    Raises:
        GrammarError: it is no pattern, or has something that grammars cannot express.
    """
    if len(pattern) > MAX_LENGTH:
        raise GrammarError(
            f"{origin} has {len(pattern)} characters; at most {MAX_LENGTH} are allowed"
        )
    return _Reader(pattern, rules, json, origin, whole=whole).alternatives()


class _Reader:
    def __init__(
        self, pattern: str, rules: Rules, json: JsonRules, origin: str, *, whole: bool
    ) -> None:
        self._pattern = pattern
        self._rules = rules
        self._json = json
        self._origin = origin
        self._whole = whole
        self._at = 0
        self._nesting = 0

    def alternatives(self) -> list[Alternative]:
        """The alternatives at the outside, where ``^`` and ``$`` may be."""
        found = []
        while True:
            anything = Repeat(self._json.char(), 0, None)
            at_start = self._take("^") or self._whole
            sequence = self._sequence()
            at_end = self._take("$") or self._whole
            found.append((*(() if at_start else (anything,)), *sequence))
            if not at_end:
                found[-1] += (anything,)
            if not self._take("|"):
                break
        if self._peek():
            raise self._error(f"`{self._peek()}` cannot be here")
        return found

    def _nested(self) -> list[Alternative]:
        found = [self._sequence()]
        while self._take("|"):
            found.append(self._sequence())
        return found

    def _sequence(self) -> Alternative:
        found: list[Element] = []
        while self._peek() not in ("", "|", ")", "$"):
            atom = self._atom()
            if (bounds := self._quantifier()) is None:
                found += atom
            elif bounds[1] != 0:
                item = atom[0] if len(atom) == 1 else self._rules.add([atom], self._origin)
                if isinstance(item, Repeat):
                    item = self._rules.add([atom], self._origin)
                found.append(self._rules.repeated(item, *bounds, self._origin))
        return tuple(found)

    def _atom(self) -> Alternative:
        char = self._peek()
        if char == "(":
            return self._group()
        if char == "[":
            return (self._json.one_of(self._set()),)
        if self._take("."):
            return (self._json.one_of(others(_LINE_ENDS)),)
        if char == "\\":
            found = self._escape()
            single = found.ranges[0][0]
            is_single = found.ranges == ((single, single),)
            return text(escaped(single)) if is_single else (self._json.one_of(found),)
        if char in _SIMPLE or char in "^{":
            raise self._error(f"`{char}` cannot be here")
        self._at += 1
        return text(escaped(self._valid(ord(char))))

    def _group(self) -> Alternative:
        self._at += 1
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise self._error(f"groups are nested more than {MAX_NESTING} deep")
        if self._peek() == "?" and not self._pattern.startswith("?:", self._at):
            raise self._error("groups with `(?`, but for `(?:`, are not supported")
        self._at += 2 if self._peek() == "?" else 0
        alternatives = self._nested()
        if not self._take(")"):
            raise self._error("a `)` is missing")
        self._nesting -= 1
        return (self._rules.add(alternatives, self._origin),)

    def _quantifier(self) -> tuple[int, int | None] | None:
        char = self._peek()
        if char in _SIMPLE:
            self._at += 1
            bounds = _SIMPLE[char]
        elif char == "{":
            bounds = self._counts()
        else:
            return None
        self._take("?")  # how many of the possible texts are tried first does not matter
        return bounds

    def _counts(self) -> tuple[int, int | None]:
        end = self._pattern.find("}", self._at)
        low, comma, high = self._pattern[self._at + 1 : end].partition(",")
        if end < 0 or not low.isdecimal() or not (high.isdecimal() or not high):
            raise self._error("`{` is not followed by numbers and `}`")
        if max(len(low), len(high)) > 9 or max(int(low), int(high or 0)) > MAX_REPEATS:
            raise self._error(f"more than {MAX_REPEATS} repetitions are not allowed")
        least, most = int(low), (int(high) if high else None) if comma else int(low)
        if most is not None and most < least:
            raise self._error("a repetition has bounds in the wrong order")
        self._at = end + 1
        return least, most

    def _set(self) -> Chars:
        self._at += 1
        inverse = self._take("^")
        ranges: list[tuple[int, int]] = []
        narrow = False
        while not self._take("]"):
            low = self._member()
            narrow |= len(low.ranges) > 1 or low.ranges[0][0] != low.ranges[0][1]
            if self._peek() == "-" and self._pattern[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                ranges.append(self._range(low, self._member()))
            else:
                ranges += low.ranges
        found = common(others(chars(ranges)), _ASCII if narrow else ANY_CHAR)
        found = found if inverse else chars(ranges)
        if not found.ranges:
            raise self._error("a set has no characters")
        return found

    def _range(self, low: Chars, high: Chars) -> tuple[int, int]:
        (first, first_end), (last, last_end) = low.ranges[0], high.ranges[-1]
        if first != first_end or last != last_end or last < first:
            raise self._error("a range has no valid bounds")
        return first, last

    def _member(self) -> Chars:
        char = self._peek()
        if not char:
            raise self._error("a `]` is missing")
        if char == "\\":
            return self._escape()
        self._at += 1
        return self._one(ord(char))

    def _escape(self) -> Chars:
        kind = self._pattern[self._at + 1 : self._at + 2]
        self._at += 2
        if kind.lower() in _SETS:
            found = _SETS[kind.lower()]
            return found if kind.islower() else common(others(found), _ASCII)
        if kind in _CODES:
            return self._one(_CODES[kind])
        if kind in ("x", "u"):
            return self._one(self._hexadecimal(2 if kind == "x" else 4))
        if kind not in _SYNTAX and (kind.isalnum() or not kind):
            raise self._error(f"`\\{kind}` is not supported")
        return self._one(ord(kind))

    def _hexadecimal(self, length: int) -> int:
        digits = self._pattern[self._at : self._at + length]
        self._at += length
        if len(digits) < length or set(digits) - set("0123456789abcdefABCDEF"):
            raise self._error("an escape has too few digits")
        return int(digits, 16)

    def _one(self, code: int) -> Chars:
        return Chars(((self._valid(code), code),))

    def _valid(self, code: int) -> int:
        if 0xD800 <= code <= 0xDFFF or code > MAX_CODE:
            raise self._error("characters must be whole, not halves of surrogate pairs")
        return code

    def _take(self, char: str) -> bool:
        found = self._peek() == char
        self._at += found
        return found

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _error(self, problem: str) -> GrammarError:
        return GrammarError(f"{self._origin}: {problem}, at character {self._at + 1}")
