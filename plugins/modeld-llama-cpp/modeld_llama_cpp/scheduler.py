# SPDX-License-Identifier: GPL-3.0-only
"""Decides what the next step computes. Pure: knows sequences and cells, and no llama.cpp.

A *sequence* is one request's tokens; a *cell* is the place of one token in the KV cache. Every
step, each sequence that is waiting for its next token gets one place in the batch, and what is
left of the batch is shared among the prompts that are still being read.

Sequences are admitted in the order of their arrival, each when its prompt and some room for its
answer fit beside the others. Nothing more is set aside, because most answers end long before their
limit. If the cells run out after all, the youngest sequence is sent back to the head of the line:
its cells are dropped and computed again later, and it is let in only with twice the room, so it
can be sent back a few times at most. The oldest is never sent back and fits alone, so there is
always one that gets on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

ROOM = 256
"""How many tokens of answer must fit beside the others before a sequence is admitted."""


@dataclass(slots=True, eq=False)
class Sequence:
    """One request's tokens, and how many of them are in the cache.

    The last token of ``tokens`` has been chosen but is computed only in the next step. ``limit``
    is the most tokens it can come to; it fits into the cache. ``seq_id`` is llama.cpp's name for
    it while it has cells, else ``None``.
    """

    request_id: int
    tokens: list[int]
    limit: int
    computed: int = 0
    seq_id: int | None = None
    room: int = ROOM

    @property
    def wanted(self) -> int:
        """Cells that must be free before it is admitted."""
        return max(len(self.tokens), min(self.limit, len(self.tokens) + self.room))


@dataclass(slots=True)
class Part:
    """A stretch of one sequence's tokens in a step's batch."""

    sequence: Sequence
    start: int
    stop: int

    @property
    def completes(self) -> bool:
        """Whether the next token can be chosen after it."""
        return self.stop == len(self.sequence.tokens)


@dataclass(slots=True)
class Plan:
    """One step: clear the ``dropped`` sequence ids first, then compute the ``parts``."""

    parts: list[Part] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)


class Scheduler:
    """Hands out cells, sequence ids and places in the batch."""

    def __init__(self, *, cells: int, slots: int, batch: int) -> None:
        if batch < slots:
            raise ValueError(f"a batch of {batch} has no place for each of {slots} slots")
        self.cells = cells
        self._batch = batch
        self._free_ids = list(range(slots - 1, -1, -1))
        self._waiting: deque[Sequence] = deque()
        self._admitted: list[Sequence] = []

    @property
    def busy(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self._admitted or self._waiting)

    @property
    def used_cells(self) -> int:
        """Cells that hold a token now."""
        return sum(sequence.computed for sequence in self._admitted)

    def add(self, sequence: Sequence) -> None:
        """Put a sequence at the end of the line."""
        if not 0 < len(sequence.tokens) <= sequence.limit <= self.cells:
            raise ValueError(
                f"{len(sequence.tokens)} tokens with a limit of {sequence.limit}"
                f" do not fit into {self.cells} cells"
            )
        self._waiting.append(sequence)

    def remove(self, sequence: Sequence) -> int | None:
        """Take a sequence out, finished or not; return the sequence id to clear, if it had one."""
        if sequence.seq_id is None:
            self._waiting.remove(sequence)
            return None
        self._admitted.remove(sequence)
        return self._release(sequence)

    def plan(self) -> Plan:
        """Decide the next step. Nothing counts as computed before :meth:`account`."""
        plan = Plan()
        while sum([len(sequence.tokens) for sequence in self._admitted]) > self.cells:
            plan.dropped.append(self.send_back())
        self._admit()
        reading: list[Sequence] = []
        for sequence in self._admitted:
            if len(sequence.tokens) - sequence.computed == 1:
                plan.parts.append(Part(sequence, sequence.computed, len(sequence.tokens)))
            else:
                reading.append(sequence)
        if reading:
            plan.parts.extend(_stretches(reading, self._batch - len(plan.parts)))
        return plan

    def account(self, plan: Plan) -> None:
        """Count what a plan asked for as computed."""
        for part in plan.parts:
            part.sequence.computed = part.stop

    def send_back(self) -> int:
        """Send the youngest admitted sequence back to the line; return the id to clear."""
        youngest = self._admitted.pop()
        youngest.room *= 2
        self._waiting.appendleft(youngest)
        return self._release(youngest)

    def _admit(self) -> None:
        if not self._waiting:
            return
        held = sum(sequence.wanted for sequence in self._admitted)
        while self._waiting and self._free_ids:
            first = self._waiting[0]
            if self._admitted and held + first.wanted > self.cells:
                return
            held += first.wanted
            first.seq_id = self._free_ids.pop()
            self._admitted.append(self._waiting.popleft())

    def _release(self, sequence: Sequence) -> int:
        assert sequence.seq_id is not None
        seq_id, sequence.seq_id, sequence.computed = sequence.seq_id, None, 0
        self._free_ids.append(seq_id)
        return seq_id


def _stretches(reading: list[Sequence], budget: int) -> Iterable[Part]:
    missing = [len(sequence.tokens) - sequence.computed for sequence in reading]
    for sequence, count in zip(reading, shares(budget, missing), strict=True):
        yield Part(sequence, sequence.computed, sequence.computed + count)


def shares(budget: int, missing: list[int]) -> list[int]:
    """Share a budget evenly; what one does not need goes to the others."""
    given = [0] * len(missing)
    smallest_first = sorted(range(len(missing)), key=missing.__getitem__)
    for place, index in enumerate(smallest_first):
        given[index] = min(missing[index], budget // (len(missing) - place))
        budget -= given[index]
    return given
