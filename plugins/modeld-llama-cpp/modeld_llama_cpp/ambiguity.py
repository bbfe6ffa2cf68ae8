# SPDX-License-Identifier: GPL-3.0-only
"""Finds grammars that would make llama.cpp follow very many ways to read one text.

llama.cpp keeps a *stack* for each way to go on: the positions at which rules will be continued,
the current one on top. Accepting a character replaces each stack by all that can follow it; and
to try the tokens of the vocabulary, it follows each token down every way, without noticing where
ways meet again. So two things hurt, both measured with llama.cpp and a vocabulary of 49,000:

- ways that multiply: ``e ::= "(" e ")" | "(" e "]" | "x"`` has twice as many after each ``(``;
- ways that part and meet: with ``("-"?){0,20}`` one look at the vocabulary takes 1.4 s, with 60
  times it does not end, because there are tokens of many ``-``.

Ways part at a rule with two alternatives that can both go on with the next character. From each
such place, :func:`check_ambiguity` follows two ways at once for as long as one text fits both.
Mostly that is over after a few characters; a grammar where it goes on and on is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import reduce
from operator import or_

from modeld_llama_cpp.machine import END, Machine
from modeld_llama_cpp.prediction import Prediction
from modeld_llama_cpp.rules import GrammarError

MAX_WAYS = 128
"""How many ways there may be to go on at one place."""

MAX_PAIRS = 4_000
"""How many pairs of ways are followed, and so how many ways one text may leave."""

MAX_DEPTH = 64
"""How many rules a way may enter after it has parted from another one."""

RUN_LENGTH = 48
"""How often a character is tried where ways meet again.

Vocabularies have tokens of one character up to 80 times, such as lines of ``-``; anything longer
than a character is in no token more than a few times.
"""

MAX_READINGS = 2_000
"""In how many ways such a text may be read."""

_MAX_RUNS = 16
_MAX_CONTEXTS = 256

Stack = tuple[int, ...]
"""Positions, the current one last. The first is in the rule in which two ways have parted."""

Pair = tuple[Stack, Stack, int]
"""Two ways that one text fits, and the rule whose caller goes on when their stacks are empty."""

Run = tuple[Counter[Stack], int]
"""Where the ways to read a text lead, how many lead there, and the rule below as in a pair."""


def check_ambiguity(machine: Machine) -> None:
    """Check that no text can be read in very many ways.

    Raises:
        GrammarError: it may be so.
    """
    prediction = Prediction(machine)
    for rule, ways in enumerate(prediction.ways):
        if ways > MAX_WAYS:
            raise GrammarError(
                f"{machine.origins[rule]} can go on in {ways} ways at one place; at most"
                f" {MAX_WAYS} are allowed"
            )
    conflicts = prediction.conflicts()
    search = _Search(machine, prediction.callers, prediction.users(rule for rule, *_ in conflicts))
    for conflict in conflicts:
        search.follow(*conflict)


class _Search:
    """Follows two ways from where they part."""

    def __init__(
        self, machine: Machine, callers: list[list[tuple[int, int]]], unclear: set[int]
    ) -> None:
        self._machine = machine
        self._links = _links(machine, callers)
        self._callers = [
            [call for call in calls if call[0] not in self._links] for calls in callers
        ]
        self._unclear = unclear
        self._seen: set[tuple[Pair, bool]] = set()
        self._meeting: set[Pair] = set()
        self._tops: dict[Stack, tuple[list[Stack], bool]] = {}

    def follow(self, rule: int, one: int, other: int) -> None:
        """Follow two alternatives of a rule until no text fits both."""
        if rule in self._links:
            return
        parted = (self._pushed((), one), self._pushed((), other), rule)
        todo = [(parted, False)]
        followed: set[Pair] = set()
        meet = False
        while todo:
            pair, moved = todo.pop()
            followed.add(pair)
            meet |= pair in self._meeting or (moved and self._share_tops(pair))
            for first, second, caller, moves in self._next(*pair):
                if first == second:
                    meet = True
                    continue
                low, high = sorted(self._cut(first, second))
                new = (low, high, caller)
                if (new, moved or moves) not in self._seen:
                    self._seen.add((new, moved or moves))
                    self._check_limits(new, rule)
                    todo.append((new, moved or moves))
                meet |= new in self._meeting
        if meet:
            self._meeting |= followed
            self._try_runs(parted)

    def _next(
        self, one: Stack, other: Stack, rule: int
    ) -> Iterator[tuple[Stack, Stack, int, bool]]:
        """The pairs after another character, or first those with what comes after the rule."""
        tops, ends = self._closed(one)
        other_tops, other_ends = self._closed(other)
        if ends or other_ends:
            for caller, after in self._callers[rule]:
                base = self._pushed((), after)
                yield base + one, base + other, caller, False
            if rule != 0:
                return
        masks = self._machine.masks
        for top in tops:
            for other_top in other_tops:
                if masks[top[-1]] & masks[other_top[-1]] and top != other_top:
                    yield self._after(top), self._after(other_top), rule, True

    def _share_tops(self, pair: Pair) -> bool:
        return not set(self._closed(pair[0])[0]).isdisjoint(self._closed(pair[1])[0])

    def _closed(self, stack: Stack) -> tuple[list[Stack], bool]:
        """The stacks with a character on top that a stack leads to, and if it may be empty."""
        if stack in self._tops:
            return self._tops[stack]
        symbols, seen, tops = self._machine.symbols, {stack}, []
        todo = [stack]
        while todo:
            current = todo.pop()
            if not current:
                continue
            called = symbols[current[-1]]
            if called < 0:
                tops.append(current)
                continue
            base = self._after(current)
            for start in self._machine.starts[called]:
                new = self._pushed(base, start)
                if new not in seen:
                    seen.add(new)
                    todo.append(new)
        self._tops[stack] = tops, () in seen
        return self._tops[stack]

    def _after(self, stack: Stack) -> Stack:
        return self._pushed(stack[:-1], stack[-1] + 1)

    def _pushed(self, stack: Stack, position: int) -> Stack:
        return stack if self._machine.symbols[position] == END else (*stack, position)

    def _cut(self, one: Stack, other: Stack) -> tuple[Stack, Stack]:
        """Leave out what both do next, if that never leaves a choice."""
        rules = self._machine.rules
        while one and other and one[-1] == other[-1] and rules[one[-1]] not in self._unclear:
            one, other = one[:-1], other[:-1]
        return one, other

    def _check_limits(self, pair: Pair, rule: int) -> None:
        if len(self._seen) > MAX_PAIRS or max(len(pair[0]), len(pair[1])) > MAX_DEPTH:
            raise self._refusal(rule)

    def _refusal(self, rule: int) -> GrammarError:
        return GrammarError(
            f"from {self._machine.origins[rule]} on, one text can be read in too many ways; let"
            " alternatives begin differently, and what can be repeated or left out differ from"
            " what may come after it"
        )

    def _try_runs(self, parted: Pair) -> None:
        """Try texts of one character over and over that go both ways at first."""
        masks = self._machine.masks
        both = 0
        for counts, _ in self._contexts(Counter(parted[:2]), parted[2]):
            first, second = (
                reduce(or_, (masks[top[-1]] for top in self._closed(stack)[0]), 0)
                for stack in counts
            )
            both |= first & second
        while both:
            self._try_run(parted, both & -both)
            both &= both - 1

    def _try_run(self, parted: Pair, character: int) -> None:
        runs: list[Run] = [(Counter(parted[:2]), parted[2])]
        for _ in range(RUN_LENGTH):
            longer: dict[tuple[frozenset[Stack], int], Run] = {}
            for start, rule in runs:
                for context, below in self._contexts(start, rule):
                    counts = self._advanced(context, character)
                    key = frozenset(counts), below
                    if counts and (key not in longer or longer[key][0].total() < counts.total()):
                        longer[key] = counts, below
            runs = sorted(longer.values(), key=lambda run: -run[0].total())[:_MAX_RUNS]
            if runs and runs[0][0].total() > MAX_READINGS:
                raise self._refusal(parted[2])

    def _contexts(self, counts: Counter[Stack], rule: int) -> Iterator[tuple[Counter[Stack], int]]:
        """Stacks with all that they may need of the rules that call theirs."""
        todo, seen = [(counts, rule)], set[tuple[frozenset[Stack], int]]()
        while todo:
            counts, rule = todo.pop()
            key = frozenset(counts), rule
            if key in seen:
                continue
            seen.add(key)
            if len(seen) > _MAX_CONTEXTS:
                raise self._refusal(rule)
            ends = any(self._closed(stack)[1] for stack in counts)
            if not ends or rule == 0:
                yield counts, rule
            if ends:
                for caller, after in self._callers[rule]:
                    base = self._pushed((), after)
                    todo.append((Counter({base + s: n for s, n in counts.items()}), caller))

    def _advanced(self, counts: Counter[Stack], character: int) -> Counter[Stack]:
        advanced: Counter[Stack] = Counter()
        for stack, number in counts.items():
            for top in self._closed(stack)[0]:
                if self._machine.masks[top[-1]] & character:
                    advanced[self._after(top)] += number
        return advanced


def _links(machine: Machine, callers: list[list[tuple[int, int]]]) -> set[int]:
    """The rules of a chain of repetitions that are only entered from further up the chain.

    Nothing can happen there that does not happen where the chain starts, with more to come.
    """
    return {
        rule
        for rule, item in enumerate(machine.items)
        if item is not None and all(machine.items[caller] == item for caller, _ in callers[rule])
    }
