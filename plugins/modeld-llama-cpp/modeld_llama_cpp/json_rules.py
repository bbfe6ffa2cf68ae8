# SPDX-License-Identifier: GPL-3.0-only
"""The rules of JSON itself: what strings, numbers and values look like.

They are narrower than JSON where a model could go on without end or write what readers trip over:
numbers have few digits, white space is one blank or one line's indentation, and no half of a
surrogate pair is ever written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from modeld_llama_cpp.rules import (
    MAX_CODE,
    Alternative,
    Chars,
    Ref,
    Repeat,
    Rules,
    chars,
    common,
    others,
    text,
)

ORIGIN = "JSON"

ANY_CHAR = Chars(((0, MAX_CODE),))
"""All characters that a JSON string can have, among them U+0000, which it writes escaped."""

DIGITS = Chars(((48, 57),))
DIGITS_FROM_1 = Chars(((49, 57),))
QUOTE = text('"')

MAX_WHOLE_DIGITS = 16
MAX_FRACTION_DIGITS = 16

_CONTROLS = (0, 31)
_SURROGATES = (0xD800, 0xDFFF)
_SHORT_ESCAPES = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}

_UNESCAPED = others(chars([_CONTROLS, _SURROGATES, (34, 34), (92, 92)]))
_MAX_INDENT = 20


def escaped(code: int) -> str:
    """A character as it is written within a JSON string."""
    if code in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[code]
    return f"\\u{code:04x}" if code <= _CONTROLS[1] else chr(code)


class JsonRules:
    """Adds rules of JSON to others, each only once."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._known: dict[object, Ref] = {}

    def any_value(self) -> Ref:
        """Any JSON value."""
        return self._once("value", self._values)

    def any_object(self) -> Ref:
        """Any object."""
        return self._once("object", lambda: [self._members(self._member())])

    def any_array(self) -> Ref:
        """Any array."""
        return self._once("array", lambda: [self.listed(self.any_value(), 0, None, ORIGIN)])

    def space(self) -> Ref:
        """A blank, the start of a line, or nothing."""
        blanks = chars([(9, 9), (32, 32)])
        indent = (*text("\n"), Repeat(blanks, 0, _MAX_INDENT))
        return self._once("space", lambda: [(), text(" "), indent])

    def char(self) -> Ref:
        """One character of a string, however it is written."""
        return self._once("char", self._chars)

    def plain_char(self) -> Chars | Ref:
        """One character of a string, written in only one way."""
        return self.one_of(ANY_CHAR)

    def string(self, least: int = 0, most: int | None = None) -> Alternative:
        """A string of so many characters."""
        if most == 0:
            return text('""')
        return (self._once(("string", least, most), lambda: [self._quoted(least, most)]),)

    def number(self) -> Alternative:
        """Any number."""
        return (Repeat(Chars(((45, 45),)), 0, 1), self.whole(), self.fraction(), self.exponent())

    def integer(self) -> Alternative:
        """Any number without a fraction."""
        return (Repeat(Chars(((45, 45),)), 0, 1), self.whole())

    def whole(self) -> Ref:
        """Digits without leading zeros."""
        more = Repeat(DIGITS, 0, MAX_WHOLE_DIGITS - 1)
        return self._once("whole", lambda: [text("0"), (DIGITS_FROM_1, more)])

    def fraction(self) -> Ref:
        """What may come after the whole part."""
        digits = Repeat(DIGITS, 1, MAX_FRACTION_DIGITS)
        return self._once("fraction", lambda: [(), (*text("."), digits)])

    def exponent(self) -> Ref:
        """What may come after the fraction, small enough for all readers."""
        sign = Repeat(chars([(43, 43), (45, 45)]), 0, 1)
        mark = chars([(69, 69), (101, 101)])
        return self._once("exponent", lambda: [(), (mark, sign, Repeat(DIGITS, 1, 2))])

    def one_of(self, wanted: Chars) -> Chars | Ref:
        """One character of a set, within a string."""
        plain = common(wanted, _UNESCAPED)
        if plain == wanted:
            return plain
        return self._once(wanted, lambda: self._written(plain, wanted))

    def listed(self, item: Ref, least: int, most: int | None, origin: str) -> Alternative:
        """An array of so many items."""
        space = self.space()
        if most == 0:
            return (*text("["), space, *text("]"))
        more = self._rules.add([(*text(","), space, item)], origin)
        rest = self._rules.repeated(more, max(least - 1, 0), most and most - 1, origin)
        items: Alternative = (item, *(() if most == 1 else (rest,)), space)
        if least == 0:
            items = (Repeat(self._rules.add([items], origin), 0, 1),)
        return (*text("["), space, *items, *text("]"))

    def tuple_of(
        self, items: list[Ref], other: Ref | None, least: int, most: int | None, origin: str
    ) -> Alternative:
        """An array that starts with given items and may go on with others."""
        space = self.space()
        items = items[:most]
        if not items:
            return (*text("["), space, *text("]"))
        tail: Alternative = ()
        left = None if most is None else most - len(items)
        if other is not None and left != 0:
            more = self._rules.add([(*text(","), space, other)], origin)
            tail = (self._rules.repeated(more, max(least - len(items), 0), left, origin),)
        for number in range(len(items) - 1, 0, -1):
            tail = (*text(","), space, items[number], *tail)
            if number >= least:
                tail = (Repeat(self._rules.add([tail], origin), 0, 1),)
        inside: Alternative = (items[0], *tail, space)
        if least == 0:
            inside = (Repeat(self._rules.add([inside], origin), 0, 1),)
        return (*text("["), space, *inside, *text("]"))

    def _quoted(self, least: int, most: int | None) -> Alternative:
        return (*QUOTE, self._rules.repeated(self.char(), least, most, ORIGIN), *QUOTE)

    def _members(self, member: Ref) -> Alternative:
        space = self.space()
        more = self._rules.add([(*text(","), space, member)], ORIGIN)
        members = self._rules.add([(member, Repeat(more, 0, None), space)], ORIGIN)
        return (*text("{"), space, Repeat(members, 0, 1), *text("}"))

    def _member(self) -> Ref:
        return self._rules.add(
            [(*self.string(), *text(":"), self.space(), self.any_value())], ORIGIN
        )

    def _values(self) -> Iterable[Alternative]:
        words = map(text, ("true", "false", "null"))
        return [(self.any_object(),), (self.any_array(),), self.string(), self.number(), *words]

    def _chars(self) -> Iterable[Alternative]:
        hexadecimal = chars([(48, 57), (65, 70), (97, 102)])
        not_d = chars([(48, 57), (65, 67), (69, 70), (97, 99), (101, 102)])
        d, to_7 = chars([(68, 68), (100, 100)]), Chars(((48, 55),))
        yield (_UNESCAPED,)
        yield (*text("\\"), chars([(ord(c), ord(c)) for c in '"\\/bfnrt']))
        yield (*text("\\u"), not_d, Repeat(hexadecimal, 3, 3))
        yield (*text("\\u"), d, to_7, Repeat(hexadecimal, 2, 2))

    def _written(self, plain: Chars, wanted: Chars) -> Iterable[Alternative]:
        if plain.ranges:
            yield (plain,)
        for code in (*range(32), 34, 92):
            if any(low <= code <= high for low, high in wanted.ranges):
                yield text(escaped(code))

    def _once(self, key: object, make: Callable[[], Iterable[Alternative]]) -> Ref:
        """The rule for a key. It is known before it is made, as it may refer to itself."""
        if key not in self._known:
            name = self._rules.name()
            self._known[key] = Ref(name)
            self._rules.define(name, make(), ORIGIN)
        return self._known[key]
