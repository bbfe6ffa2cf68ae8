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

A sequence that begins like another one, running or kept, holds that one's cells instead of
computing them again. If another one is about to compute what both begin with, it waits for that:
reading the same prompt side by side would take each of them as long. The sequences of ended
requests are kept, and make way, the least recently used first, whenever their cells, their number
or their limit are needed.
"""

from __future__ import annotations

from collections import deque

from modeld_llama_cpp.cells import Cells, Holding, together
from modeld_llama_cpp.kept import Kept, KeptSequences, common_prefix
from modeld_llama_cpp.prefill import chunks
from modeld_llama_cpp.sequence import Copy, Edit, Forget, Part, Plan, Sequence

WORTH_WAITING = 32
"""A sequence waits for another one only if that saves it at least so many tokens."""


class Scheduler:
    """Hands out cells, sequence ids and places in the batch.

    A step computes at most ``batch`` tokens, and beside running answers at most ``chunk`` of
    prompts.
    ``kept`` sequences of ended requests are kept at most, with at most ``kept_cells`` cells, under
    sequence ids beyond those of the slots. ``in_parts`` says whether a sequence in memory can be
    copied and cut. If not, a kept one stays on its slot's id and is of use only to a request that
    goes on exactly where it ended, which then takes it over. At most ``guesses`` tokens are guessed
    ahead of each answer, while no prompt is being read.
    """

    def __init__(
        self,
        *,
        cells: int,
        slots: int,
        batch: int,
        chunk: int | None = None,
        kept: int = 0,
        kept_cells: int | None = None,
        in_parts: bool = True,
        guesses: int = 0,
    ) -> None:
        if batch < slots:
            raise ValueError(f"a batch of {batch} has no place for each of {slots} slots")
        self.cells = Cells(cells)
        self._slots = slots
        self._batch = batch
        self._chunk = batch if chunk is None else chunk
        self._in_parts = in_parts
        self._guesses = guesses
        self._free_ids = list(range(slots + (kept if in_parts else 0) - 1, -1, -1))
        self._waiting: deque[Sequence] = deque()
        self._admitted: list[Sequence] = []
        self._kept = KeptSequences(
            kept if in_parts else slots, cells if kept_cells is None else kept_cells
        )
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

    def remove(self, sequence: Sequence, *, keep: bool = True) -> None:
        """Take a sequence out, finished or not; ``keep`` what is computed of it for others."""
        if sequence.seq_id is None:
            self._waiting.remove(sequence)
            return
        self._admitted.remove(sequence)
        if not (keep and self._keep(sequence)):
            self._release(sequence)

    def plan(self) -> Plan:
        """Decide the next step. Nothing counts as computed before :meth:`account`."""
        self._make_room()
        if self._waiting:
            self._admit()
            self._make_room()
        plan = Plan(edits=self.take_edits())
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
        elif self._guesses:
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

    def take_edits(self) -> list[Edit]:
        """The edits that are still to be made in memory; the caller makes them now."""
        edits, self._edits = self._edits, []
        return edits

    def adopt(self, tokens: list[int], salt: str) -> int | None:
        """Keep a sequence that comes from elsewhere; return the id under which to restore it.

        ``None`` where there is no room for it without dropping others. There must be no edit left
        to be made, as it might be one of that id.
        """
        assert not self._edits
        fits = len(tokens) <= self.cells.free and self._kept.have_room(len(tokens))
        if not (tokens and fits and self._free_ids):
            return None
        holding = Holding()
        self.cells.extend(holding, len(tokens))
        kept = Kept(tokens, salt, holding, self._free_ids.pop())
        self._kept.add(kept)
        return kept.seq_id

    def abandon(self, seq_id: int) -> None:
        """Keep a sequence no longer, because it could not be restored."""
        self._drop(next(kept for kept in self._kept if kept.seq_id == seq_id))

    @property
    def kept(self) -> tuple[Kept, ...]:
        """The kept sequences, the most recently used first."""
        return tuple(self._kept)[::-1]

    def send_back(self) -> None:
        """Send the youngest admitted sequence back to the line."""
        youngest = self._admitted.pop()
        youngest.room *= 2
        self._release(youngest)
        self._waiting.appendleft(youngest)

    def _guess(self, parts: list[Part]) -> None:
        """Fill what is left of the batch and of the cells with guesses, the same for all."""
        room = min(self._batch - len(parts), self.cells.free - len(parts)) // max(1, len(parts))
        for part in parts:
            one = part.sequence
            most = min(self._guesses, room, one.limit - len(one.tokens) - 1)
            if one.lookup is not None and most > 0:
                part.guesses = one.lookup.guess(one.tokens, most)

    def _make_room(self) -> None:
        """See to it that all tokens that are known now find a cell."""
        while (
            self.cells.used + sum([len(one.tokens) - one.computed for one in self._admitted])
            > self.cells.size
        ):
            if self._kept:
                self._drop(self._kept.oldest())
            else:
                self.send_back()

    def _admit(self) -> None:
        for sequence in tuple(self._waiting):
            if len(self._admitted) == self._slots:
                return
            if self._must_await(sequence):
                continue
            if not self._let_in(sequence):
                return
            self._waiting.remove(sequence)
            self._admitted.append(sequence)

    def _let_in(self, sequence: Sequence) -> bool:
        """Give a sequence its id and the cells that are there for it; or not, if it does not fit
        beside the others."""
        source, common = self._source(sequence)
        holding = self.cells.share(source.holding, common) if source else sequence.holding
        running = together([*(one.holding for one in self._admitted), holding])
        promised = sum(one.wanted - one.computed for one in self._admitted)
        needed = running + promised + sequence.wanted - common
        if self._admitted and needed > self.cells.size:
            self.cells.give_back(holding)
            return False
        used = source if isinstance(source, Kept) else None
        if sequence.salt is not None and self._in_parts:
            self._kept.learn(sequence.tokens, sequence.salt, used, common, len(self._admitted))
        if used is not None:
            self._kept.used(used)
        if used is not None and common == len(used.tokens):
            self._kept.take(used)
            self.cells.give_back(used.holding)
            sequence.seq_id = used.seq_id
        else:
            sequence.seq_id = self._take_id()
            if source is not None:
                assert source.seq_id is not None
                self._edits.append(Copy(source.seq_id, sequence.seq_id, common))
        sequence.holding = holding
        sequence.computed = common
        sequence.cached = sequence.cached or common
        return True

    def _source(self, sequence: Sequence) -> tuple[Kept | Sequence | None, int]:
        """Who has the most of a sequence's beginning in memory, and how much. The last token is
        always computed, as the next one is chosen by its result."""
        if sequence.salt is None:
            return None, 0
        tokens = sequence.tokens[:-1]
        kept, most = self._kept.longest(tokens, sequence.salt, whole=not self._in_parts)
        if not self._in_parts:
            return kept, most
        source: Kept | Sequence | None = kept
        for other in self._admitted:
            if other.salt == sequence.salt and other.computed > most:
                common = min(common_prefix(other.tokens, tokens), other.computed)
                if common > most:
                    source, most = other, common
        return source, most

    def _must_await(self, sequence: Sequence) -> bool:
        """Whether another sequence is about to compute what this one begins with."""
        leader = sequence.awaits
        if leader is not None and leader.seq_id is not None and leader.computed < sequence.awaited:
            return True
        sequence.awaits = None
        if sequence.salt is None or not self._in_parts:
            return False
        tokens = sequence.tokens[:-1]
        most = 0
        for other in self._admitted:
            if other.salt == sequence.salt and other.missing > 1:
                common = common_prefix(other.tokens, tokens)
                if common - other.computed >= WORTH_WAITING and common > most:
                    sequence.awaits, sequence.awaited, most = other, common, common
        if sequence.awaits is not None and self._source(sequence)[1] > most - WORTH_WAITING:
            sequence.awaits = None
        return sequence.awaits is not None

    def _keep(self, sequence: Sequence) -> bool:
        """Keep what is computed of a sequence, if that is allowed and of any use."""
        if sequence.salt is None or sequence.computed == 0:
            return False
        tokens = sequence.tokens[: sequence.computed]
        if self._in_parts:
            like, common = self._kept.longest(tokens, sequence.salt)
            if like is not None and common == len(tokens):
                self._kept.used(like)
                return False
            if like is not None and common == len(like.tokens):
                self._drop(like)
        assert sequence.seq_id is not None
        self._kept.add(Kept(tokens, sequence.salt, sequence.holding, sequence.seq_id))
        sequence.seq_id = None
        while self._kept.are_too_many:
            self._drop(self._kept.oldest())
        return True

    def _drop(self, kept: Kept) -> None:
        self._kept.drop(kept)
        self._free(kept.seq_id, kept.holding)

    def _release(self, sequence: Sequence) -> None:
        assert sequence.seq_id is not None
        self._free(sequence.seq_id, sequence.holding)
        sequence.seq_id, sequence.computed = None, 0

    def _free(self, seq_id: int, holding: Holding) -> None:
        self.cells.give_back(holding)
        self._edits.append(Forget(seq_id))
        self._free_ids.append(seq_id)

    def _take_id(self) -> int:
        if not self._free_ids:
            self._drop(self._kept.oldest())
        return self._free_ids.pop()
