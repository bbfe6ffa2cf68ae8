# SPDX-License-Identifier: GPL-3.0-only
"""Decides what the next step computes. Pure: knows sequences and cells, and no llama.cpp.

A *sequence* is one request's tokens; a *cell* is the place of one token in the KV cache. Every
step, each sequence that is waiting for its next token gets one place in the batch. The prompts that
are still being read share what is left of it: all of it where nobody waits for a next token, or
else a chunk that does not hold those up for long.

Sequences are admitted in the order of their arrival, each when its prompt and some room for its
answer fit beside the others. Nothing more is set aside, because most answers end long before their
limit. If the cells run out after all, the youngest sequence is sent back to the head of the line:
its cells are dropped and computed again later, and it is let in only with twice the room, so it
can be sent back a few times at most. The oldest is never sent back and fits alone, so there is
always one that gets on.

A sequence that begins like another one that runs holds that one's cells instead of computing them
again. If another one is about to compute what both begin with, it waits for that: reading the same
prompt side by side would take each of them as long. What an ended request has computed is restored
from what is kept of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from modeld_llama_cpp.cells import Cells, Holding, together
from modeld_llama_cpp.kept import WORTH_KEEPING, KeptSequences, SavedSequence, common_prefix
from modeld_llama_cpp.prefill import chunks
from modeld_llama_cpp.sequence import Copy, Edit, Forget, Part, Plan, Restore, Sequence

WORTH_WAITING = 32
"""A sequence waits for another one only if that saves it at least so many tokens."""


class Scheduler:
    """Hands out cells, sequence ids and places in the batch.

    A step computes at most ``batch`` tokens, and beside running answers at most ``chunk`` of
    prompts. ``in_parts`` says whether a running sequence can be shared by copying a part of it. At
    most ``guesses`` tokens are guessed ahead of each answer, while no prompt is being read.
    """

    def __init__(
        self,
        *,
        cells: int,
        slots: int,
        batch: int,
        chunk: int | None = None,
        kept: KeptSequences | None = None,
        in_parts: bool = True,
        guesses: int = 0,
    ) -> None:
        if batch < slots:
            raise ValueError(f"a batch of {batch} has no place for each of {slots} slots")
        self.cells = Cells(cells)
        self.guesses = guesses
        self._slots = slots
        self._batch = batch
        self._chunk = batch if chunk is None else chunk
        self._kept = KeptSequences(0) if kept is None else kept
        self._in_parts = in_parts
        self._free_ids = list(range(slots - 1, -1, -1))
        self._waiting: deque[Sequence] = deque()
        self._admitted: list[Sequence] = []
        self._blocked: Sequence | None = None
        self._edits: list[Edit] = []

    @property
    def busy(self) -> bool:
        """Whether there is anything to compute."""
        return bool(self._admitted or self._waiting)

    def add(self, sequence: Sequence) -> None:
        """Put a sequence at the end of the line."""
        if not 0 < len(sequence.tokens) <= sequence.limit <= self.cells.size:
            raise ValueError(
                f"{len(sequence.tokens)} tokens with a limit of {sequence.limit}"
                f" do not fit into {self.cells.size} cells"
            )
        self._waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out, finished or not."""
        if sequence.seq_id is None:
            self._waiting.remove(sequence)
        else:
            self._admitted.remove(sequence)
            self._release(sequence)

    def plan(self) -> Plan:
        """Decide the next step. Nothing counts as computed before :meth:`account`."""
        while sum([len(one.tokens) - one.computed for one in self._admitted]) > self.cells.free:
            self.send_back()
        if self._waiting:
            self._admit()
        plan = Plan(edits=self._edits)
        self._edits = []
        reading: list[Sequence] = []
        for sequence in self._admitted:
            count = len(sequence.tokens)
            if count - sequence.computed == 1:
                plan.parts.append(Part(sequence, sequence.computed, count))
            else:
                reading.append(sequence)
        if reading:
            room = self._batch - len(plan.parts)
            plan.parts.extend(chunks(reading, min(room, self._chunk) if plan.parts else room))
        elif self.guesses:
            self._guess(plan.parts)
        return plan

    def account(self, plan: Plan) -> None:
        """Count what a plan asked for as computed."""
        for part in plan.parts:
            sequence = part.sequence
            self.cells.extend(sequence.holding, part.stop - sequence.computed)
            sequence.computed = part.stop

    def accept(self, part: Part, count: int) -> None:
        """Count the first ``count`` of a part's guesses as computed: they were right."""
        self.cells.extend(part.sequence.holding, count)
        part.sequence.computed += count

    def start_over(self, seq_ids: Collection[int]) -> None:
        """Count sequences as not computed, because what was to be brought back for them was not."""
        for sequence in self._admitted:
            if sequence.seq_id in seq_ids:
                self.cells.give_back(sequence.holding)
                sequence.computed = sequence.cached = 0

    def send_back(self) -> None:
        """Send the youngest admitted sequence back to the line."""
        youngest = self._admitted.pop()
        youngest.room *= 2
        self._release(youngest)
        self._waiting.appendleft(youngest)
        self._blocked = youngest

    def _guess(self, parts: list[Part]) -> None:
        """Fill what is left of the batch and of the cells with guesses, the same for all."""
        room = min(self._batch - len(parts), self.cells.free - len(parts)) // max(1, len(parts))
        for part in parts:
            one = part.sequence
            most = min(self.guesses, room, one.limit - len(one.tokens) - 1)
            if one.lookup is not None and most > 0:
                part.guesses = one.lookup.guess(one.tokens, most)

    def _admit(self) -> None:
        for sequence in tuple(self._waiting):
            if len(self._admitted) == self._slots or sequence is self._blocked:
                return
            if self._still_awaits(sequence):
                continue
            source, common = self._source(sequence)
            if self._must_await(sequence, common):
                continue
            if not self._let_in(sequence, source, common):
                self._blocked = sequence  # until somebody leaves
                return
            self._waiting.remove(sequence)
            self._admitted.append(sequence)

    def _let_in(
        self, sequence: Sequence, source: Sequence | SavedSequence | None, common: int
    ) -> bool:
        """Give a sequence its id and the cells that are there for it; or not, if it does not fit
        beside the others."""
        holding = Holding()
        if isinstance(source, Sequence):
            holding = self.cells.share(source.holding, common)
        shared = holding.length
        needed = together([*(one.holding for one in self._admitted), holding])
        needed += sum(one.wanted - one.computed for one in self._admitted)
        if self._admitted and needed + sequence.wanted - shared > self.cells.size:
            self.cells.give_back(holding)
            return False
        sequence.seq_id = self._free_ids.pop()
        if isinstance(source, Sequence):
            assert source.seq_id is not None
            self._edits.append(Copy(source.seq_id, sequence.seq_id, common))
        elif source is not None:
            self.cells.extend(holding, common)
            self._edits.append(Restore(source, sequence.seq_id, common))
        sequence.holding = holding
        sequence.computed = common
        if sequence.cached is None:
            sequence.cached = common
        return True

    def _source(self, sequence: Sequence) -> tuple[Sequence | SavedSequence | None, int]:
        """Who has the most of a sequence's beginning, and how much. The last token is always
        computed, as the next one is chosen by its result."""
        if sequence.salt is None:
            return None, 0
        tokens = sequence.tokens[:-1]
        best: Sequence | SavedSequence | None = None
        most = WORTH_KEEPING - 1
        for other in self._admitted if self._in_parts else ():
            may_have_more = other.salt == sequence.salt and other.computed > most
            if may_have_more and _agree(other, tokens, most):
                common = min(common_prefix(other.tokens, tokens), other.computed)
                if common > most:
                    best, most = other, common
        saved, common = self._kept.longest(tokens, sequence.salt)
        if saved is not None and common > most and len(saved.tokens) <= self.cells.free:
            return saved, common
        return (None, 0) if best is None else (best, most)

    def _still_awaits(self, sequence: Sequence) -> bool:
        """Whether a sequence goes on waiting for another one. If that one does not get on, because
        others are read before it, then no longer, and for nobody else."""
        leader = sequence.awaits
        if leader is None or leader.seq_id is None or leader.computed >= sequence.awaited:
            return False
        if leader.computed == sequence.awaited_from:
            sequence.awaits, sequence.awaited_from = None, -1
            return False
        sequence.awaited_from = leader.computed
        return True

    def _must_await(self, sequence: Sequence, common: int) -> bool:
        """Whether another sequence is about to compute more of what this one begins with than the
        ``common`` tokens that are there."""
        sequence.awaits = None
        if sequence.salt is None or not self._in_parts or sequence.awaited_from < 0:
            return False
        tokens = sequence.tokens[:-1]
        enough = common + WORTH_WAITING
        for other in self._admitted:
            is_reading = other.salt == sequence.salt and other.missing > 1
            if is_reading and _agree(other, tokens, enough - 1):
                will_be = common_prefix(other.tokens, tokens)
                if will_be >= enough and will_be > other.computed:
                    sequence.awaits, sequence.awaited = other, will_be
                    sequence.awaited_from = other.computed
                    enough = will_be + 1
        return sequence.awaits is not None

    def _release(self, sequence: Sequence) -> None:
        assert sequence.seq_id is not None
        self.cells.give_back(sequence.holding)
        self._edits.append(Forget(sequence.seq_id))
        self._free_ids.append(sequence.seq_id)
        sequence.seq_id, sequence.computed = None, 0
        self._blocked = None


def _agree(other: Sequence, tokens: list[int], place: int) -> bool:
    """Whether they have the same token at a place, which saves comparing most that do not."""
    return place < len(tokens) and other.tokens[place : place + 1] == tokens[place : place + 1]
