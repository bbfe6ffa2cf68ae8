# SPDX-License-Identifier: GPL-3.0-only
"""A grammar as llama.cpp works with it: rules of characters and references, without repetitions.

Characters are numbered by class: two of one class are in exactly the same sets. A set is an
integer with a bit for each of its classes. A *position* is the index of an element; the elements
of an alternative follow each other and end with :data:`END`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from modeld_llama_cpp.rules import (
    MAX_CODE,
    ROOT,
    Chars,
    Element,
    GrammarError,
    Ref,
    Repeat,
    Rules,
)

MAX_ELEMENTS = 20_000
"""How many elements a grammar may have when its repetitions are written out."""

CHAR, END = -1, -2

_SIZE_OF_ONE_MORE = 4
"""Elements of a rule that repeats an item once more. Here they are shared, not in llama.cpp."""


class Machine:
    """The expanded rules, by number. ``symbols`` has :data:`CHAR`, :data:`END` or a rule.

    ``masks`` has the set at a position, ``rules`` the rule it is in and ``heads`` the start of its
    alternative; ``starts`` has for each rule where its alternatives start, ``origins`` what to
    call it in an error and ``items`` what it repeats, if it was made for that. Rule 0 is the root.

    Raises:
        GrammarError: there are more than :data:`MAX_ELEMENTS`.
    """

    def __init__(self, rules: Rules) -> None:
        self.symbols: list[int] = []
        self.masks: list[int] = []
        self.rules: list[int] = []
        self.heads: list[int] = []
        self.starts: list[list[int]] = []
        self.origins: list[str] = []
        self.items: list[Chars | Ref | None] = []
        self._source = rules
        self._size = 0
        self._alphabet = _Alphabet(rules)
        self._numbers: dict[object, int] = {}
        self._todo: list[tuple[int, Sequence[Sequence[Element | int]]]] = []
        self._named(ROOT)
        while self._todo:
            self._write(*self._todo.pop())

    def elements(self, start: int) -> Iterator[int]:
        """The positions of an alternative's elements, from one on."""
        while self.symbols[start] != END:
            yield start
            start += 1

    def _write(self, rule: int, alternatives: Sequence[Sequence[Element | int]]) -> None:
        for alternative in alternatives:
            head = len(self.symbols)
            self.starts[rule].append(head)
            for element in alternative:
                self._append(element, self.origins[rule])
            self._put(END)
            written = len(self.symbols) - head
            self.rules += [rule] * written
            self.heads += [head] * written

    def _append(self, element: Element | int, origin: str) -> None:
        if isinstance(element, int):
            self._put(element)
        elif isinstance(element, Chars):
            self._put(CHAR, self._alphabet.mask(element))
        elif isinstance(element, Ref):
            self._put(self._named(element.rule))
        else:
            for _ in range(element.least):
                self._append(element.item, origin)
            if element.most != element.least:
                self._put(self._more(element, origin))

    def _put(self, symbol: int, mask: int = 0) -> None:
        self.symbols.append(symbol)
        self.masks.append(mask)
        self._grow(1)

    def _grow(self, count: int) -> None:
        self._size += count
        if self._size > MAX_ELEMENTS:
            raise GrammarError(
                f"with its repetitions written out it has more than {MAX_ELEMENTS} elements;"
                " repeat less, or fewer things"
            )

    def _more(self, element: Repeat, origin: str) -> int:
        """The rule for what may follow when an item has been repeated often enough.

        For a bounded repetition it is the first of a chain of rules, each of which has the item
        once and goes on with the next, or ends.
        """
        item = element.item
        if element.most is None:
            number, is_new = self._number((item, None), origin, item)
            if is_new:
                self._todo.append((number, [(item, number), ()]))
            return number
        last: tuple[int, ...] = ()
        for left in range(1, element.most - element.least + 1):
            number, is_new = self._number((item, left), origin, item)
            if is_new:
                self._todo.append((number, [(item, *last), ()]))
            else:
                self._grow(_SIZE_OF_ONE_MORE)
            last = (number,)
        return number

    def _named(self, name: str) -> int:
        number, is_new = self._number(name, self._source.origins[name])
        if is_new:
            self._todo.append((number, self._source.alternatives[name]))
        return number

    def _number(
        self, key: object, origin: str, item: Chars | Ref | None = None
    ) -> tuple[int, bool]:
        is_new = key not in self._numbers
        if is_new:
            self._numbers[key] = len(self.starts)
            self.starts.append([])
            self.origins.append(origin)
            self.items.append(item)
        return self._numbers[key], is_new


class _Alphabet:
    """Numbers the classes of characters."""

    def __init__(self, rules: Rules) -> None:
        bounds = {1, MAX_CODE + 1}
        for alternatives in rules.alternatives.values():
            for alternative in alternatives:
                for element in alternative:
                    item = element.item if isinstance(element, Repeat) else element
                    if isinstance(item, Chars):
                        bounds.update(low for low, _ in item.ranges)
                        bounds.update(high + 1 for _, high in item.ranges)
        self._bounds = sorted(bounds)
        self._masks: dict[Chars, int] = {}

    def mask(self, of: Chars) -> int:
        if of not in self._masks:
            mask = 0
            for low, high in of.ranges:
                first = bisect_left(self._bounds, low)
                mask |= (1 << bisect_left(self._bounds, high + 1)) - (1 << first)
            self._masks[of] = mask
        return self._masks[of]
