# SPDX-License-Identifier: GPL-3.0-only
"""Any order of arrivals, steps, failures, ends and cancellations, against a model of the memory."""

from __future__ import annotations

import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from modeld_llama_cpp.engine.drafting import Drafting, PromptLookup
from modeld_llama_cpp.engine.prefix_cache import PrefixCache, SavedSequence
from modeld_llama_cpp.engine.scheduler import Scheduler
from modeld_llama_cpp.engine.sequence import (
    Copy,
    Cut,
    Edit,
    Forget,
    Plan,
    Restore,
    Save,
    Sequence,
)
from modeld_llama_cpp.engine.sequence_memory import MOST_UNSAVED
from modeld_llama_cpp.engine.state import State


class Memory:
    """What llama.cpp would hold: for each sequence id its cells, each cell with what it knows.

    A cell knows all tokens up to its own, because a token's keys and values depend on them. What is
    computed comes into the first cells that are free.
    """

    def __init__(self, prefix_cache: PrefixCache) -> None:
        self.cells: dict[int, list[int]] = {}
        self.known: dict[int, tuple[int, ...]] = {}
        self.most = 0
        self._prefix_cache = prefix_cache

    @property
    def taken(self) -> set[int]:
        return {cell for cells in self.cells.values() for cell in cells}

    @property
    def used(self) -> int:
        return len(self.taken)

    def is_in_order(self, seq_id: int) -> bool:
        """Whether a sequence has the first cells, in the order of its tokens, and nobody others."""
        return self.cells[seq_id] == list(range(self.used))

    def edit(self, edit: Edit) -> None:
        match edit:
            case Copy(source=source, target=target, count=count):
                assert not self.cells.get(target)
                assert len(self.cells[source]) >= count
                self.cells[target] = self.cells[source][:count]
            case Restore(saved=saved, seq_id=seq_id, count=count):
                assert not self.cells.get(seq_id)
                self.compute(seq_id, list(saved.tokens), 0, len(saved.tokens))
                self.most = max(self.most, self.used)
                self.cut(seq_id, count)
            case Forget(seq_id=seq_id):
                self.cells.pop(seq_id, None)
            case Cut(seq_id=seq_id, count=count):
                assert len(self.cells[seq_id]) > count
                self.cut(seq_id, count)
            case Save(seq_id=seq_id, tokens=tokens, salt=salt):
                assert self.known[self.cells[seq_id][-1]] == tokens, "what is saved is in memory"
                self.save(tokens, salt)

    def compute(self, seq_id: int, tokens: list[int], start: int, stop: int) -> None:
        cells = self.cells.setdefault(seq_id, [])
        assert len(cells) == start, "a part begins where the memory ends"
        if start:
            assert self.known[cells[-1]] == tuple(tokens[:start]), "it goes on from its own tokens"
        taken = self.taken
        free = (cell for cell in itertools.count() if cell not in taken)
        for index, cell in zip(range(start, stop), free, strict=False):
            self.known[cell] = tuple(tokens[: index + 1])
            cells.append(cell)

    def save(self, tokens: tuple[int, ...], salt: str) -> None:
        if self._prefix_cache.wants(tokens, salt):
            saved = SavedSequence(tokens=tokens, salt=salt, state=State.of(bytearray(1)))
            self._prefix_cache.add(saved)

    def cut(self, seq_id: int, length: int) -> None:
        del self.cells[seq_id][length:]


class Interleavings(RuleBasedStateMachine):
    """The scheduler, and the memory that does what it says."""

    @initialize(
        cells=st.integers(8, 300),
        slots=st.integers(1, 6),
        extra=st.integers(0, 40),
        limit=st.integers(0, 600),
        in_parts=st.booleans(),
        draft=st.integers(0, 4),
        block=st.sampled_from([1, 1, 8]),
    )
    def begin(
        self,
        *,
        cells: int,
        slots: int,
        extra: int,
        limit: int,
        in_parts: bool,
        draft: int,
        block: int,
    ) -> None:
        self.slots, self.batch = slots, slots + extra
        drafting = Drafting(draft, 2 * draft) if in_parts and draft else None
        if drafting is not None:  # any draft pays where more tokens take less time
            for tokens in range(1, 60):
                drafting.costs.note(tokens, 1.0 / tokens)
        self.prefix_cache = PrefixCache(limit, in_parts=in_parts)
        self.scheduler = Scheduler(
            cells=cells, slots=slots, batch=self.batch, drafting=drafting,
            prefix_cache=self.prefix_cache, in_parts=in_parts, block=block,
        )  # fmt: skip
        self.memory = Memory(self.prefix_cache)
        self.live: dict[int, Sequence] = {}
        self.count = 0

    @precondition(lambda self: len(self.live) < self.slots)
    @rule(
        share=st.floats(0, 1),
        branch=st.floats(0, 1),
        kind=st.integers(0, 2),
        generation=st.integers(1, 200),
        headroom=st.integers(1, 64),
        salt=st.sampled_from(["", "", "x", None]),
    )
    def arrive(
        self,
        *,
        share: float,
        branch: float,
        kind: int,
        generation: int,
        headroom: int,
        salt: str | None,
    ) -> None:
        """A prompt that begins like others and goes its own way from somewhere on."""
        length = max(1, int(share * (self.scheduler.cells.size - 1)))
        common = int(branch * length)
        tokens = [0] * common + [kind] * (length - common)
        limit = min(length + generation, self.scheduler.cells.size)
        one = Sequence(self.count, tokens, limit, salt, headroom=headroom)
        one.lookup = PromptLookup() if self.scheduler.drafting else None
        self.live[self.count] = one
        self.count += 1
        self.scheduler.add(one)

    @rule(works=st.booleans(), ends=st.sets(st.integers(0, 5)), token=st.integers(0, 1))
    def step(self, works: bool, ends: set[int], token: int) -> None:
        plan = self.scheduler.plan()
        for edit in plan.edits:
            self.memory.edit(edit)
        assert self.memory.most <= self.scheduler.cells.size
        self.check(plan)
        if not works:
            return
        self.scheduler.account(plan)
        for part in plan.parts:
            assert part.sequence.seq_id is not None
            tokens = [*part.sequence.tokens[: part.stop], *part.draft]
            self.memory.compute(part.sequence.seq_id, tokens, part.start, len(tokens))
        assert self.memory.used <= self.scheduler.cells.size
        ready = [part for part in plan.parts if part.completes]
        for index, part in enumerate(ready):
            one = part.sequence
            right = next(
                (n for n, draft_tokens in enumerate(part.draft) if draft_tokens != token),
                len(part.draft),
            )
            one.tokens += [token] * right
            self.scheduler.accept(part, right)
            assert one.seq_id is not None
            self.memory.cut(one.seq_id, one.computed)
            if index in ends or len(one.tokens) + 1 >= one.limit:
                self.take_out(one, keep=True)
            else:
                one.tokens.append(token)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), keep=st.booleans())
    def cancel(self, data: st.DataObject, keep: bool) -> None:
        self.take_out(self.live[data.draw(st.sampled_from(sorted(self.live)))], keep=keep)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), paused=st.booleans())
    def pause_or_resume(self, data: st.DataObject, paused: bool) -> None:
        one = self.live[data.draw(st.sampled_from(sorted(self.live)))]
        (self.scheduler.pause if paused else self.scheduler.resume)(one)

    def take_out(self, one: Sequence, *, keep: bool) -> None:
        del self.live[one.request_id]
        if one.seq_id is None or not keep:
            self.scheduler.remove(one)
            return
        may_rest = self.scheduler.may_rest(one)
        is_saved = not may_rest or one.computed > MOST_UNSAVED
        if is_saved and one.salt is not None:
            self.memory.save(tuple(one.tokens[: one.computed]), one.salt)
        if may_rest:
            assert self.memory.is_in_order(one.seq_id)
            self.scheduler.rest(one, is_saved=is_saved)
        else:
            self.scheduler.remove(one)

    def check(self, plan: Plan) -> None:
        """What every plan keeps to."""
        assert sum(part.stop - part.start + len(part.draft) for part in plan.parts) <= self.batch
        ids = [part.sequence.seq_id for part in plan.parts]
        assert len(set(ids)) == len(ids)
        for part in plan.parts:
            assert part.start == part.sequence.computed < part.stop <= len(part.sequence.tokens)
            room = part.sequence.limit - len(part.sequence.tokens)
            assert len(part.draft) < room or not part.draft
            assert not part.sequence.paused
        active = [one for one in self.live.values() if not one.paused]
        assert bool(plan.parts) == bool(active)
        assert self.memory.used == self.scheduler.cells.used

    @invariant()
    def nobody_sees_what_is_under_another_salt(self) -> None:
        if hasattr(self, "scheduler"):
            for one in self.live.values():
                assert one.salt is not None or not one.cached
            active = [one for one in self.live.values() if not one.paused]
            assert self.scheduler.busy == bool(active)

    def teardown(self) -> None:
        """Left alone, everything that runs comes to its end, and saved ones go when they must."""
        if not hasattr(self, "scheduler"):
            return
        for one in self.live.values():
            self.scheduler.resume(one)
        work = sum(one.limit for one in self.live.values())
        for _ in range(40 * work + 40):
            if not self.scheduler.busy:
                break
            self.step(True, set(), 0)
        assert not self.live
        for edit in (*self.scheduler.plan().edits, *self.scheduler.let_go()):
            self.memory.edit(edit)
        assert self.memory.used == self.scheduler.cells.used == 0


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
