# SPDX-License-Identifier: GPL-3.0-only
"""Decides which inputs are computed together. Pure: knows tokens and places, and no llama.cpp.

An *input* is one text of a question, as tokens. Questions take turns, one input at a time, so that
one of thousands of inputs does not stop one of a few. A batch takes the inputs that are next for
as long as they fit; none is passed over for a smaller one behind it.

Where each token sees only those before it, an input may be cut: what does not fit into a batch
goes on in the next one. There is never more than one such input. Elsewhere an input is computed
in one piece, if need be in a batch of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest


@dataclass(slots=True, frozen=True, eq=False)
class Input:
    """One text of a question: the question's id, its place there, its tokens."""

    question_id: int
    index: int
    tokens: Sequence[int]


@dataclass(slots=True, frozen=True)
class Part:
    """A stretch of an input's tokens in a batch. ``seq_id`` is llama.cpp's name for the input."""

    input: Input
    start: int
    stop: int
    seq_id: int

    @property
    def completes(self) -> bool:
        """Whether the input is through after it."""
        return self.stop == len(self.input.tokens)


@dataclass(slots=True, frozen=True, kw_only=True)
class Limits:
    """What fits into a batch.

    ``tokens`` is what a batch is filled up to and ``sequences`` how many inputs it may have.
    ``longest`` is the most tokens of an input. With ``may_cut`` an input that does not fit is cut,
    and ``longest`` tokens are in memory at most; otherwise it gets a batch of its own.
    """

    tokens: int
    longest: int
    sequences: int
    may_cut: bool


@dataclass(slots=True, eq=False)
class _Question:
    """What is still to begin of a question."""

    id: int
    inputs: deque[Input]


class Packer:
    """The inputs that wait, and the one that has been begun."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._turns: deque[_Question] = deque()
        self._begun: Part | None = None

    @property
    def busy(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self._turns or self._begun)

    def add(self, question_id: int, inputs: Sequence[Sequence[int]]) -> None:
        """Take on the inputs of a question. Its first turn comes after all others had one."""
        longest = max(map(len, inputs))
        if not 0 < min(map(len, inputs)) <= longest <= self._limits.longest:
            raise ValueError(f"an input has no tokens, or more than {self._limits.longest}")
        waiting = deque(Input(question_id, *item) for item in enumerate(inputs))
        self._turns.append(_Question(question_id, waiting))

    def remove(self, question_id: int) -> None:
        """Forget a question. What it has in memory is not in the next plan."""
        self._turns = deque(question for question in self._turns if question.id != question_id)
        if self._begun is not None and self._begun.input.question_id == question_id:
            self._begun = None

    def plan(self) -> list[Part]:
        """Decide the next batch. Nothing counts as computed before :meth:`account`.

        An input that has been begun comes first; nothing but it is still needed in memory.
        """
        limits = self._limits
        parts = [] if self._begun is None else [self._go_on(self._begun)]
        room = limits.tokens - sum([part.stop - part.start for part in parts])
        if limits.may_cut and parts:
            room = min(room, limits.longest - parts[0].stop)
        free_ids = (seq for seq in range(limits.sequences) if not parts or seq != parts[0].seq_id)
        for seq_id, item in zip(free_ids, self._in_turn(), strict=False):
            size = len(item.tokens)
            alone = not parts and not limits.may_cut
            if size > room and limits.may_cut:
                size = room
            if size == 0 or (size > room and not alone):
                break
            parts.append(Part(item, 0, size, seq_id))
            room -= size
        return parts

    def account(self, parts: Sequence[Part]) -> None:
        """Count a plan as computed."""
        for part in parts:
            if part.start == 0:
                self._begin(part.input)
            self._begun = None if part.completes else part

    def _begin(self, item: Input) -> None:
        question = self._turns.popleft()
        assert question.inputs[0] is item
        question.inputs.popleft()
        if question.inputs:
            self._turns.append(question)

    def _go_on(self, begun: Part) -> Part:
        stop = min(len(begun.input.tokens), begun.stop + self._limits.tokens)
        return Part(begun.input, begun.stop, stop, begun.seq_id)

    def _in_turn(self) -> Iterator[Input]:
        """The waiting inputs in the order of their turns."""
        rounds = zip_longest(*[question.inputs for question in self._turns])
        return (item for item in chain.from_iterable(rounds) if item is not None)
