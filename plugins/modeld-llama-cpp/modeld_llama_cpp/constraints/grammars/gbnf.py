# SPDX-License-Identifier: GPL-3.0-only
"""Reads GBNF, llama.cpp's language for grammars, with llama.cpp's rules for its syntax."""

from __future__ import annotations

from modeld_llama_cpp.constraints.grammars.characters import MAX_CODE, Chars, chars, common, others
from modeld_llama_cpp.constraints.grammars.rules import (
    ROOT,
    Alternative,
    Element,
    Ref,
    Repeat,
    Rules,
    productive,
    references,
)
from modeld_llama_cpp.constraints.problem import ConstraintError, position

MAX_REPEATS = 2_000
"""How often something may be repeated at most, if there is an upper bound at all."""

MAX_NESTING = 50
MAX_PRODUCT = 10_000
"""How large the product of repetitions inside one another may be."""

_ANY = others(Chars(()), lowest=1)
"""All characters that a text can have; NUL is none."""

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
_DIGITS = frozenset("0123456789")
_HEX_LENGTHS = {"x": 2, "u": 4, "U": 8}
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\", '"': '"', "[": "[", "]": "]", "-": "-"}
_REPEATS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def read_gbnf(source: str) -> Rules:
    """Return the rules that a text describes.

    Raises:
        ConstraintError: the text is no GBNF, or something in it is not defined.
    """
    return _Reader(source).rules()


class _Reader:
    """A position in the text, and what has been read before it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._rules = Rules()
        self._positions: dict[str, int] = {}
        self._rule = ""
        self._nesting = 0

    def rules(self) -> Rules:
        self._skip(newlines=True)
        while self._at < len(self._source):
            self._read_rule()
        if ROOT not in self._rules.alternatives:
            raise ConstraintError(f"there is no rule `{ROOT}`, at which a grammar begins")
        self._check_references()
        self._rules.keep_reachable()
        endless = self._rules.alternatives.keys() - productive(self._rules)
        for name in sorted(endless):
            raise ConstraintError(f"{self._rules.origins[name]} never comes to an end")
        return self._rules

    def _check_references(self) -> None:
        for alternatives in self._rules.alternatives.values():
            for alternative in alternatives:
                for name in references(alternative):
                    if name not in self._rules.alternatives:
                        raise self._error(f"rule `{name}` is not defined", self._positions[name])

    def _read_rule(self) -> None:
        start = self._at
        name = self._name()
        if name in self._rules.alternatives:
            raise self._error(f"rule `{name}` is defined twice", start)
        self._rule = name
        self._skip()
        if not self._source.startswith("::=", self._at):
            raise self._unexpected("`::=`")
        self._at += 3
        self._skip(newlines=True)
        alternatives, _ = self._alternatives()
        if self._at < len(self._source) and self._peek() not in "\r\n":
            raise self._unexpected("the end of the line")
        self._rules.define(name, alternatives, f"rule `{name}` ({self._position(start)})")
        self._skip(newlines=True)

    def _alternatives(self) -> tuple[list[Alternative], int]:
        """Return what stands between ``|``, and the largest product of repetitions in it."""
        found, product = [], 1
        while True:
            alternative, largest = self._sequence()
            found.append(alternative)
            product = max(product, largest)
            if self._peek() != "|":
                return found, product
            self._at += 1
            self._skip(newlines=True)

    def _sequence(self) -> tuple[Alternative, int]:
        elements: list[Element] = []
        symbol: list[Element] = []
        product = largest = 1
        while True:
            start, char = self._at, self._peek()
            if char in _REPEATS or char == "{":
                least, most = self._repetition()
                product *= max(least, most or 1)
                self._check_product(product, start)
                symbol = self._repeated(symbol, least, most, start)
            elif (read := self._symbol(char)) is not None:
                elements += symbol
                symbol, product = read
            else:
                return (*elements, *symbol), largest
            largest = max(largest, product)
            self._skip(newlines=self._nesting > 0)

    def _symbol(self, char: str) -> tuple[list[Element], int] | None:
        """Return what can be repeated: a literal, a set, a name or a group; or None."""
        if char == '"':
            return list(self._literal()), 1
        if char == "[":
            return [self._set()], 1
        if char == ".":
            self._at += 1
            return [_ANY], 1
        if char == "(":
            return self._group()
        if char in _LETTERS:
            start, name = self._at, self._name()
            self._positions.setdefault(name, start)
            return [Ref(name)], 1
        if char and char in "<!":
            raise self._error("tokens (`<…>`) are not supported; write their text")
        return None

    def _group(self) -> tuple[list[Element], int]:
        start = self._at
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise self._error(f"groups are nested more than {MAX_NESTING} deep")
        self._at += 1
        self._skip(newlines=True)
        alternatives, product = self._alternatives()
        if self._peek() != ")":
            raise self._unexpected(f"`)` for the `(` of {self._position(start)}")
        self._at += 1
        self._nesting -= 1
        return [self._add(alternatives)], product

    def _repetition(self) -> tuple[int, int | None]:
        char = self._peek()
        self._at += 1
        if char in _REPEATS:
            return _REPEATS[char]
        start = self._at
        self._skip(newlines=self._nesting > 0)
        least = self._count()
        most: int | None = least
        if self._peek() == ",":
            self._at += 1
            self._skip(newlines=self._nesting > 0)
            most = None if self._peek() == "}" else self._count()
        if self._peek() != "}":
            raise self._unexpected("`}`")
        self._at += 1
        if most is not None and most < least:
            raise self._error(f"at most {most} times is less than at least {least}", start)
        return least, most

    def _repeated(
        self, symbol: list[Element], least: int, most: int | None, start: int
    ) -> list[Element]:
        if not symbol:
            raise self._error("there is nothing before it that could be repeated", start)
        if most == 0:
            return []
        if len(symbol) > 1 or isinstance(symbol[0], Repeat):
            symbol = [self._add([tuple(symbol)])]
        item = symbol[0]
        assert not isinstance(item, Repeat)
        return [Repeat(item, least, most)]

    def _check_product(self, product: int, start: int) -> None:
        if product > MAX_PRODUCT:
            raise self._error(
                f"repetitions inside one another come to {product}; at most {MAX_PRODUCT} are"
                " allowed",
                start,
            )

    def _count(self) -> int:
        start = self._at
        while self._peek() in _DIGITS:
            self._at += 1
        digits = self._source[start : self._at]
        if not digits:
            raise self._unexpected("a number")
        if len(digits.lstrip("0")) > len(str(MAX_REPEATS)) or int(digits) > MAX_REPEATS:
            raise self._error(f"more than {MAX_REPEATS} repetitions are not allowed", start)
        self._skip(newlines=self._nesting > 0)
        return int(digits)

    def _literal(self) -> Alternative:
        start = self._at
        self._at += 1
        found = []
        while self._peek() != '"':
            if not self._peek():
                raise self._error('the `"` that ends this text is missing', start)
            code = self._char()
            found.append(Chars(((code, code),)))
        self._at += 1
        return tuple(found)

    def _set(self) -> Chars:
        start = self._at
        self._at += 1
        inverse = self._peek() == "^"
        self._at += inverse
        ranges = []
        while self._peek() != "]":
            if not self._peek():
                raise self._error("the `]` that ends this set is missing", start)
            low = high = self._char(lowest=0)
            if self._source[self._at : self._at + 2] not in ("-]", "-") and self._peek() == "-":
                self._at += 1
                high = self._char(lowest=0)
                if high < low:
                    raise self._error("this set has a range that ends before it begins", start)
            ranges.append((low, high))
        self._at += 1
        found = common(others(chars(ranges)) if inverse else chars(ranges), _ANY)
        if not ranges or not found.ranges:
            raise self._error("this set has no characters", start)
        return found

    def _char(self, *, lowest: int = 1) -> int:
        start, char = self._at, self._peek()
        self._at += 1
        if char != "\\":
            return self._valid(ord(char), lowest, start)
        kind = self._peek()
        self._at += 1
        if kind in _ESCAPES:
            return ord(_ESCAPES[kind])
        length = _HEX_LENGTHS.get(kind, 0)
        digits = self._source[self._at : self._at + length]
        if not length or len(digits) < length or set(digits) - set("0123456789abcdefABCDEF"):
            raise self._error("unknown escape", start)
        self._at += length
        return self._valid(int(digits, 16), lowest, start)

    def _valid(self, code: int, lowest: int, start: int) -> int:
        if not lowest <= code <= MAX_CODE or 0xD800 <= code <= 0xDFFF:
            raise self._error(f"U+{code:04X} is no character that a text can have", start)
        return code

    def _name(self) -> str:
        start = self._at
        while self._peek() in _LETTERS:
            self._at += 1
        if start == self._at:
            raise self._unexpected("the name of a rule (letters, digits and `-`)")
        return self._source[start : self._at]

    def _add(self, alternatives: list[Alternative]) -> Ref:
        return self._rules.add(alternatives, self._origin(self._at - 1))

    def _origin(self, at: int) -> str:
        return f"rule `{self._rule}` ({self._position(at)})"

    def _skip(self, *, newlines: bool = False) -> None:
        """Go over blanks and comments, and over the ends of lines where a rule goes on."""
        blank = " \t\r\n" if newlines else " \t"
        while (char := self._peek()) and (char in blank or char == "#"):
            if char == "#":
                while self._peek() not in ("\r", "\n", ""):
                    self._at += 1
            else:
                self._at += 1

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _unexpected(self, wanted: str) -> ConstraintError:
        found = f"`{self._peek()}`" if self._peek().isprintable() else f"{self._peek()!a}"
        return self._error(f"expected {wanted}, found {found if self._peek() else 'the end'}")

    def _error(self, problem: str, at: int | None = None) -> ConstraintError:
        return ConstraintError(f"{problem}, {self._position(self._at if at is None else at)}")

    def _position(self, at: int) -> str:
        return position(self._source, at)
