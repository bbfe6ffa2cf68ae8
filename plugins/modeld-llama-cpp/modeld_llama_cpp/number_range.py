# SPDX-License-Identifier: GPL-3.0-only
"""Rules for the numbers between two bounds, digit by digit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil, floor

from modeld_llama_cpp.json_rules import (
    DIGITS,
    DIGITS_FROM_1,
    MAX_FRACTION_DIGITS,
    MAX_WHOLE_DIGITS,
    JsonRules,
)
from modeld_llama_cpp.rules import Alternative, Chars, GrammarError, Repeat, Rules, text
from modeld_llama_cpp.schema_text import Schema

MAX_BOUND = 10**20
"""No bound may be as large, in either direction."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Whole bounds, both included; ``None`` is no bound.

    A bound that is open leaves out the bound itself, but not the fractions next to it.
    """

    low: int | None = None
    high: int | None = None
    low_open: bool = False
    high_open: bool = False

    def mirrored(self) -> Bounds:
        """The bounds of the negated numbers."""
        low = None if self.high is None else -self.high
        high = None if self.low is None else -self.low
        return Bounds(low, high, self.high_open, self.low_open)

    def from_zero(self, *, open_at_zero: bool) -> Bounds | None:
        """What of the bounds is not negative; None if there is nothing."""
        if self.high is not None and (self.high < 0 or (self.high == 0 and open_at_zero)):
            return None
        if self.low is not None and self.low > 0:
            return self
        if self.low == 0:
            return Bounds(0, self.high, self.low_open or open_at_zero, self.high_open)
        return Bounds(0, self.high, open_at_zero, self.high_open)


def read_bounds(schema: Schema, path: str, *, whole: bool) -> Bounds:
    """The bounds that a schema has for numbers, or for whole numbers only.

    Raises:
        GrammarError: a bound is no number, or one that is not supported.
    """
    low, low_open = _stricter(schema, "minimum", "exclusiveMinimum", path, max, whole=whole)
    high, high_open = _stricter(schema, "maximum", "exclusiveMaximum", path, min, whole=whole)
    if not whole:
        return Bounds(low, high, low_open, high_open)
    low = None if low is None else low + low_open
    high = None if high is None else high - high_open
    return Bounds(low, high)


def _stricter(
    schema: Schema,
    closed: str,
    open_: str,
    path: str,
    choose: Callable[[int, int], int],
    *,
    whole: bool,
) -> tuple[int | None, bool]:
    """The stricter of two bounds on one side, and if it is open."""
    found = _bound(schema, closed, path, whole=whole)
    other = _bound(schema, open_, path, whole=whole)
    if found is None or other is None:
        return (found, False) if other is None else (other, True)
    strict = choose(found, other)
    return strict, strict == other


def _bound(schema: Schema, keyword: str, path: str, *, whole: bool) -> int | None:
    value = schema.get(keyword)
    if value is None:
        return None
    place = f"{path}.{keyword}"
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise GrammarError(f"{place}: must be a number")
    if not abs(value) < MAX_BOUND:
        raise GrammarError(f"{place}: bounds must be nearer to 0 than {MAX_BOUND:g}")
    if isinstance(value, int) or value.is_integer():
        return int(value)
    if not whole:
        raise GrammarError(f"{place}: {value:g} has a fraction; only whole bounds are supported")
    return floor(value) if keyword in ("exclusiveMinimum", "maximum") else ceil(value)


def integers(bounds: Bounds) -> Iterator[Alternative]:
    """The integers within closed bounds; there are none where the bounds have none."""
    positive = bounds.from_zero(open_at_zero=False)
    negative = bounds.mirrored().from_zero(open_at_zero=True)
    if positive:
        yield from _whole(positive.low or 0, positive.high)
    if negative:
        for digits in _whole(max(negative.low or 0, 1), negative.high):
            yield (*text("-"), *digits)


def numbers(bounds: Bounds, rules: Rules, json: JsonRules, origin: str) -> Iterator[Alternative]:
    """The numbers within bounds, fractions included."""
    positive = bounds.from_zero(open_at_zero=False)
    negative = bounds.mirrored().from_zero(open_at_zero=True)
    if positive:
        yield from _decimal(positive, rules, json, origin)
    if negative:
        for digits in _decimal(negative, rules, json, origin):
            yield (*text("-"), *digits)


def _decimal(bounds: Bounds, rules: Rules, json: JsonRules, origin: str) -> Iterator[Alternative]:
    low, high = bounds.low or 0, bounds.high
    if high is not None and high < low:
        return
    inner = low
    if bounds.low_open and (high is None or low < high):
        yield (*text(f"{low}."), *_not_zero())
        inner = low + 1
    below = None if high is None else high - 1
    whole = [*_whole(inner, below)]
    if whole:
        yield (rules.add(whole, origin), json.fraction())
    if high is not None and not bounds.high_open and not (low == high and bounds.low_open):
        zeros = rules.add(
            [(*text("."), Repeat(Chars(((48, 48),)), 1, MAX_FRACTION_DIGITS))], origin
        )
        yield (*text(str(high)), Repeat(zeros, 0, 1))


def _not_zero() -> Alternative:
    half = MAX_FRACTION_DIGITS // 2
    return (Repeat(Chars(((48, 48),)), 0, half), DIGITS_FROM_1, Repeat(DIGITS, 0, half))


def _whole(low: int, high: int | None) -> Iterator[Alternative]:
    """The digits of whole numbers from 0 on, without leading zeros."""
    shortest = len(str(low))
    longest = max(MAX_WHOLE_DIGITS, shortest) if high is None else len(str(high))
    if high is None:
        high = 10**longest - 1
    if low > high:
        return
    if shortest == longest:
        yield from _between(str(low), str(high))
        return
    yield from _between(str(low), "9" * shortest)
    if longest - shortest > 1:
        yield (DIGITS_FROM_1, Repeat(DIGITS, shortest, longest - 2))
    yield from _between(str(10 ** (longest - 1)), str(high))


def _between(low: str, high: str) -> Iterator[Alternative]:
    """The digits between two numbers of one length."""
    if low == "0" * len(low) and high == "9" * len(low):
        yield (Repeat(DIGITS, len(low), len(low)),) if low else ()
    elif low[0] == high[0]:
        yield from (_digits(low[0], low[0], rest) for rest in _between(low[1:], high[1:]))
    else:
        first, last = low[0], high[0]
        if low[1:] != "0" * len(low[1:]):
            nines = "9" * len(low[1:])
            yield from (_digits(first, first, rest) for rest in _between(low[1:], nines))
            first = chr(ord(first) + 1)
        if high[1:] != "9" * len(high[1:]):
            zeros = "0" * len(high[1:])
            yield from (_digits(last, last, rest) for rest in _between(zeros, high[1:]))
            last = chr(ord(last) - 1)
        if first <= last:
            count = len(low) - 1
            yield _digits(first, last, (Repeat(DIGITS, count, count),) if count else ())


def _digits(first: str, last: str, rest: Alternative) -> Alternative:
    return (Chars(((ord(first), ord(last)),)), *rest)
