# SPDX-License-Identifier: GPL-3.0-only
"""Decides what the next step computes. Pure: knows sequences and cells, and no llama.cpp.

A *sequence* is one request's tokens; a *cell* holds one token in the KV cache. Every step,
each sequence that is waiting for its next token has one token in the batch. The prompts that are
still being read share what is left of it: all of it where nobody waits for a next token, or else a
chunk that does not hold those up for long.

Sequences are admitted in the order of their arrival, each when its prompt and some headroom for
its generation fit beside the others. Nothing more is set aside, because most generations end long
before their limit. If the cells run out after all, the youngest sequence is preempted: it goes to
the head of the queue, its cells are dropped and computed again later, and it is admitted only with
twice the headroom, so it can be preempted a few times at most. The oldest is never preempted and
fits alone, so there is always one that gets on.

A sequence whose client is behind is paused: it keeps its cells while nobody else needs them, and
holds up nobody.

A sequence that has ended may rest: it keeps its cells and its id until the next one comes
(:mod:`.sequence_memory`). What a sequence need not compute, because it begins like that or like one
that runs, is found by :mod:`.sharing`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator

from modeld_llama_cpp.engine.drafting import Drafting
from modeld_llama_cpp.engine.kv_cells import Holding, together
from modeld_llama_cpp.engine.prefill import chunks
from modeld_llama_cpp.engine.prefix_cache import PrefixCache
from modeld_llama_cpp.engine.sequence import Edit, Part, Plan, Resting, Sequence
from modeld_llama_cpp.engine.sequence_memory import SequenceMemory, Source
from modeld_llama_cpp.engine.sharing import Sharing

FORCED = 64
"""A generation's missing tokens are computed at once up to so many, and more as a prompt is."""


class Scheduler:
    """Hands out cells, sequence ids and what the batch has room for.

    A step computes at most ``batch`` tokens, and beside running generations at most ``chunk`` of
    prompts. ``in_parts`` says whether a running sequence can be shared by copying a part of it.
    What is taken over from others is a multiple of ``block``, and leaves as much to compute.
    ``drafting`` says how many tokens are drafted ahead, while no prompt is being read.
    """

    def __init__(
        self,
        *,
        cells: int,
        slots: int,
        batch: int,
        chunk: int | None = None,
        prefix_cache: PrefixCache | None = None,
        in_parts: bool = True,
        block: int = 1,
        drafting: Drafting | None = None,
    ) -> None:
        if batch < slots:
            raise ValueError(f"a batch of {batch} has no room for each of {slots} slots")
        self._memory = SequenceMemory(cells, slots)
        self.cells = self._memory.cells
        self.drafting = drafting
        self._slots = slots
        self._batch = batch
        self._chunk = batch if chunk is None else chunk
        self._waiting: deque[Sequence] = deque()
        self._admitted: list[Sequence] = []
        cache = PrefixCache(0) if prefix_cache is None else prefix_cache
        self._rests = in_parts and cache.most_tokens > 0
        self._sharing = Sharing(cache, in_parts=in_parts, block=block)
        self._blocked: Sequence | None = None

    @property
    def busy(self) -> bool:
        """Return whether there is anything to compute."""
        return not all(one.paused for one in (*self._admitted, *self._waiting))

    def add(self, sequence: Sequence) -> None:
        """Put a sequence at the end of the queue."""
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

    def may_rest(self, sequence: Sequence) -> bool:
        """Return whether an admitted sequence that ends may rest where it is."""
        is_alone = self._admitted == [sequence]
        return self._rests and is_alone and self._memory.may_rest(sequence)

    def rest(self, sequence: Sequence, *, is_saved: bool) -> None:
        """Take an admitted sequence out, and let what is computed of it rest where it is.

        It is given to the prefix cache when it rests no longer, unless that has seen it already.
        """
        self._admitted.remove(sequence)
        self._memory.rest(sequence, is_saved=is_saved)
        self._blocked = None  # its cells are for whoever wants them

    def let_go(self) -> list[Edit]:
        """Let nobody rest any longer, and return what is to be done in memory for that."""
        self._memory.let_go()
        return self._memory.take_edits()

    def plan(self) -> Plan:
        """Decide the next step. Nothing counts as computed before :meth:`account`."""
        # Before anybody is admitted: who is in already must never wait for who comes.
        while self.cells.free < self._missing():
            self.preempt()
        self._admit()
        plan = Plan(edits=self._memory.take_edits())
        running = [one for one in self._admitted if not one.paused]
        writing = [one for one in running if one.missing <= (FORCED if one.is_writing else 1)]
        reading = [one for one in running if one.missing > (FORCED if one.is_writing else 1)]
        plan.parts.extend(self._write(writing))
        if reading:
            room = self._batch - sum(part.stop - part.start for part in plan.parts)
            plan.parts.extend(chunks(reading, min(room, self._chunk) if plan.parts else room))
        elif self.drafting is not None:
            self._draft(plan.parts, self.drafting)
        return plan

    def account(self, plan: Plan) -> None:
        """Count what a plan asked for as computed."""
        for part in plan.parts:
            sequence = part.sequence
            self.cells.extend(sequence.holding, part.stop - sequence.computed)
            sequence.computed = part.stop

    def note_cost(self, plan: Plan, spent_s: float) -> None:
        """Note how long a plan took to compute, if it is one that may have drafts in it."""
        # Tokens of prompts and forced ones cost less, as nothing is chosen after most of them.
        if self.drafting is not None and all(part.stop - part.start == 1 for part in plan.parts):
            self.drafting.costs.note(sum(1 + len(part.draft) for part in plan.parts), spent_s)

    def accept(self, part: Part, count: int) -> None:
        """Count the first ``count`` of a part's draft tokens as computed: they were right."""
        self.cells.extend(part.sequence.holding, count)
        part.sequence.computed += count

    def start_over(self, seq_ids: Collection[int]) -> None:
        """Count sequences as not computed, because what was to be restored for them was not."""
        for sequence in self._admitted:
            if sequence.seq_id in seq_ids:
                self.cells.give_back(sequence.holding)
                sequence.computed = sequence.cached = 0

    def pause(self, sequence: Sequence) -> None:
        """Compute nothing for a sequence until it is resumed."""
        sequence.paused = True
        self._blocked = None  # it gives way to whoever was waiting for somebody to leave

    def resume(self, sequence: Sequence) -> None:
        """Go on with a paused sequence."""
        sequence.paused = False

    def preempt(self) -> None:
        """Put a sequence back into the queue: a paused one, or else the youngest admitted one."""
        if self._preempt_paused():
            return
        # Never the oldest: alone it fits within its limit, as `add` has checked, so this ends.
        youngest = self._admitted.pop()
        youngest.headroom *= 2
        self._release(youngest)
        self._waiting.appendleft(youngest)
        # After the release, which clears it. Admitted at once, it would be preempted again.
        self._blocked = youngest

    def _preempt_paused(self) -> bool:
        """Take its cells from the youngest of the paused sequences, if there is one."""
        for sequence in reversed(self._admitted):
            if sequence.paused:
                self._admitted.remove(sequence)
                self._release(sequence)
                self._waiting.appendleft(sequence)
                return True
        return False

    def _missing(self) -> int:
        """Return how many cells the next step may need at the most."""
        return sum([len(one.tokens) - one.computed for one in self._admitted if not one.paused])

    def _write(self, writing: list[Sequence]) -> Iterator[Part]:
        """Give every generation its chosen token, and those forced after it while they fit."""
        room = self._batch - len(writing)  # a token for each comes first, so that all get on
        for one in writing:
            count = min(one.missing, 1 + room)
            room -= count - 1
            yield Part(one, one.computed, one.computed + count)

    def _draft(self, parts: list[Part], drafting: Drafting) -> None:
        """Draft what is likely to follow, within what is left of the batch and of the cells."""
        ready = [part for part in parts if part.completes]
        chances = [_chances(part.sequence, drafting.most) for part in ready]
        if not any(chances):
            return
        taken = sum(part.stop - part.start for part in parts)
        # Within the free cells: nobody is preempted for tokens that may turn out wrong.
        room = min(self._batch, self.cells.free) - taken
        counts = drafting.counts(taken, chances, room)
        for part, count in zip(ready, counts, strict=True):
            lookup = part.sequence.lookup
            if count and lookup is not None:
                part.draft = lookup.draft_tokens(part.sequence.tokens, count)

    def _admit(self) -> None:
        for sequence in tuple(self._waiting):
            # Nobody overtakes the blocked one, or short ones could keep a long one out for ever.
            if len(self._admitted) == self._slots or sequence is self._blocked:
                return
            if sequence.paused or self._sharing.still_awaits(sequence):
                continue
            source, common = self._source(sequence)
            if self._sharing.must_await(sequence, self._admitted, common):
                continue
            if self._memory.is_saving(sequence, common):
                continue  # it is there in the next step
            while not self._try_admit(sequence, source, common):
                if not self._preempt_paused():
                    self._blocked = sequence  # until somebody leaves
                    return
                # The paused one may have been the source, and its cells are gone.
                source, common = self._source(sequence)
            self._waiting.remove(sequence)
            self._admitted.append(sequence)

    def _source(self, sequence: Sequence) -> tuple[Source, int]:
        """Return who has the most of a sequence's beginning, and how much."""
        # What rests gives way to what is restored.
        free = self.cells.free if self._memory.resting is None else self.cells.size
        return self._sharing.source(sequence, self._admitted, self._memory.resting, free)

    def _try_admit(self, sequence: Sequence, source: Source, common: int) -> bool:
        """Give a sequence its id and the cells that are there for it; return whether it has them.

        It has none if it does not fit beside the others.
        """
        holding = Holding()
        if isinstance(source, Sequence | Resting):
            holding = self.cells.share(source.holding, common)
        shared = holding.length
        needed = together([*(one.holding for one in self._admitted), holding])
        # With the headroom of all: those admitted in this very plan have no cells yet.
        needed += sum(one.wanted - one.computed for one in self._admitted)
        if self._admitted and needed + sequence.wanted - shared > self.cells.size:
            self.cells.give_back(holding)
            return False
        self._memory.bring(sequence, source, common, holding)
        if sequence.cached is None:
            sequence.cached = common
        return True

    def _release(self, sequence: Sequence) -> None:
        self._memory.release(sequence)
        self._blocked = None  # there are free cells now, so it is tried again


def _chances(sequence: Sequence, most: int) -> list[float]:
    """Return how likely each of the tokens is that can be drafted for a sequence."""
    if sequence.lookup is None:
        return []
    sequence.lookup.read(sequence.tokens)
    # One less than the limit leaves: a token is chosen after the last draft token too.
    return sequence.lookup.chances(min(most, sequence.limit - len(sequence.tokens) - 1))
