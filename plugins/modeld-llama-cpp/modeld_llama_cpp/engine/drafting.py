# SPDX-License-Identifier: GPL-3.0-only
"""Drafts the next tokens by looking up what followed the last ones before. Pure.

Generations often repeat stretches of their prompt: names, code, quotations. Computing some draft
tokens in one batch with the last one can cost less than computing them one by one, and one that is
wrong changes nothing but the time it took: tokens are chosen as without a draft. (Prompt lookup
decoding, A. Saxena, 2023; llama.cpp's ``lookup`` example.)

How often tokens go on as they did before is known without any draft, by looking at those that were
chosen one by one. So nothing is drafted until that has shown that it will pay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from modeld_llama_cpp.engine.step_costs import StepCosts, expected_ratio

LENGTH = 3
"""How many tokens must be the same for what followed them to be a draft."""

GAIN = 1.1
"""How many times as many tokens a second a draft must promise, as promises may be wrong."""

_CLASSES = (LENGTH, 4, 5, 6, 8, 12, 16, 32)
"""How many tokens have been the same: the least of each class."""

_FIRST_SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
"""What is taken to go on in each class before anything is known."""

_FIRST_TRIALS = 8.0
_OWN_TRIALS = 4.0
_OWN_MEMORY = 0.9


class Likelihood:
    """How likely the next token is the one that followed before, by how many have been the same.

    One for all sequences of a model.
    """

    def __init__(self) -> None:
        self._trials = [_FIRST_TRIALS] * len(_CLASSES)
        self._right = [_FIRST_TRIALS * share for share in _FIRST_SHARES]

    def note(self, matched: int, *, is_right: bool) -> None:
        """Note whether a token was the one that followed before, after so many that were."""
        index = _class_of(matched)
        self._trials[index] += 1.0
        self._right[index] += is_right

    def share(self, matched: int) -> float:
        """Return the share of tokens that were right after so many that were.

        No more than is taken for it at first: that others have quoted says nothing of who writes
        freely, and who quotes shows it by some tokens of its own.
        """
        index = _class_of(matched)
        return min(_FIRST_SHARES[index], self._right[index] / self._trials[index])


class PromptLookup:
    """Where each run of :data:`LENGTH` tokens of one growing sequence was followed last.

    ``count_allowed`` says how many of some tokens may come one after the other. What was right and
    what was not is noted in ``likelihood`` too.
    """

    def __init__(
        self,
        count_allowed: Callable[[Sequence[int]], int] = len,
        likelihood: Likelihood | None = None,
    ) -> None:
        self._count_allowed = count_allowed
        self._likelihood = Likelihood() if likelihood is None else likelihood
        self._followed: dict[tuple[int, ...], int] = {}
        self._read = 0
        self._at: int | None = None
        self._matched = 0
        self._trials = self._right = 0.0

    def read(self, tokens: Sequence[int]) -> None:
        """Go on to the end of a sequence; what is read first is its prompt."""
        is_prompt = not self._read
        for index in range(self._read, len(tokens)):
            if not is_prompt:
                self._compare(tokens, index)
            run = tuple(tokens[index + 1 - LENGTH : index + 1])
            if len(run) == LENGTH:
                # Those at the end of a prompt are looked up too, once all of it is known.
                if self._at is None and not (is_prompt and index + 1 < len(tokens)):
                    self._at = self._followed.get(run)
                    self._matched = self._count_matched(tokens, index)
                self._followed[run] = index + 1
        self._read = len(tokens)

    def chances(self, most: int) -> list[float]:
        """Return how likely each of the next tokens is to be reached and right, at most ``most``.

        Empty where nothing is known of what follows.
        """
        if self._at is None:
            return []
        chances, chance = [], 1.0
        for matched in range(self._matched, self._matched + most):
            share = self._likelihood.share(matched)
            chance *= (self._right + _OWN_TRIALS * share) / (self._trials + _OWN_TRIALS)
            chances.append(chance)
        return chances

    def draft_tokens(self, tokens: Sequence[int], count: int) -> Sequence[int]:
        """Return so many tokens that may follow, fewer where these may not come, or none.

        A text that goes round in a circle is taken to go on so.
        """
        if self._at is None:
            return ()
        known = tokens[self._at : self._at + count]
        draft = (list(known) * -(-count // len(known)))[:count]
        return draft[: self._count_allowed(draft)]

    def _count_matched(self, tokens: Sequence[int], index: int) -> int:
        """Return how many tokens up to an index are those before what is drafted."""
        matched, at = LENGTH, self._at
        if at is not None:
            while matched < min(at, _CLASSES[-1]) and (
                tokens[at - 1 - matched] == tokens[index - matched]
            ):
                matched += 1
        return matched

    def _compare(self, tokens: Sequence[int], index: int) -> None:
        """Note whether a token is the one that followed before."""
        if self._at is None:
            return
        is_right = tokens[self._at] == tokens[index]
        self._likelihood.note(self._matched, is_right=is_right)
        self._trials = self._trials * _OWN_MEMORY + 1.0
        self._right = self._right * _OWN_MEMORY + is_right
        if is_right:
            self._at += 1
            self._matched += 1
        else:
            self._at = None


@dataclass(slots=True)
class Drafting:
    """How much is drafted in a step: at most ``most`` ahead of each, and ``room`` for all together.

    As much as promises the most tokens a second, by how likely each is right and by what a step of
    so many costs.
    """

    most: int
    room: int
    costs: StepCosts = field(default_factory=StepCosts)
    likelihood: Likelihood = field(default_factory=Likelihood)

    def counts(self, computed: int, chances: Sequence[Sequence[float]], room: int) -> Sequence[int]:
        """Return how many tokens to draft for each of some sequences, ``room`` at most.

        ``computed`` tokens are in the step anyway, and one is chosen for each of the sequences.
        ``chances`` are those of what follows in each, none greater than the one before.
        """
        counts = [0] * len(chances)
        likeliest = sorted(
            ((chance, index) for index, each in enumerate(chances) for chance in each),
            reverse=True,
        )[: max(0, min(self.room, room))]
        best, gain, right = 0, GAIN, 0.0
        hoped: list[int] = []
        for extra, (chance, _) in enumerate(likeliest, start=1):
            right += chance
            promised, tokens = 1.0 + right / len(chances), computed + extra
            if promised / self.costs.ratio(tokens, computed) > gain:
                best, gain = extra, promised / self.costs.ratio(tokens, computed)
            if promised / expected_ratio(tokens, computed) > GAIN:
                hoped.append(tokens)
        if not best:
            for tokens in hoped:
                self.costs.doubt(tokens, computed)
        for _, index in likeliest[:best]:
            counts[index] += 1
        return counts


def _class_of(matched: int) -> int:
    index = len(_CLASSES) - 1
    while matched < _CLASSES[index] and index:
        index -= 1
    return index
