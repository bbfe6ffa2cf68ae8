# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from modeld_llama_cpp.embedding.packer import Limits, Packer, Part

WHOLE = Limits(tokens=10, longest=30, sequences=4, may_cut=False)
CUT = Limits(tokens=10, longest=30, sequences=4, may_cut=True)


def packer(limits: Limits, *requests: list[int]) -> Packer:
    """Requests 0, 1, … with inputs of so many tokens."""
    made = Packer(limits)
    for request_id, sizes in enumerate(requests):
        made.add(request_id, [[7] * size for size in sizes])
    return made


def batches(made: Packer) -> list[list[tuple[int, int, int, int]]]:
    """All batches to the end, each part as request, index, start and stop."""
    found = []
    while made.busy:
        parts = made.plan()
        made.account(parts)
        found.append(
            [(part.input.request_id, part.input.index, part.start, part.stop) for part in parts]
        )
    return found


def test_a_batch_takes_whole_inputs_while_they_fit() -> None:
    assert batches(packer(WHOLE, [4, 5, 2, 8])) == [
        [(0, 0, 0, 4), (0, 1, 0, 5)],
        [(0, 2, 0, 2), (0, 3, 0, 8)],
    ]


def test_requests_are_served_in_rotation_and_the_next_batch_goes_on_where_the_last_stopped() -> (
    None
):
    assert batches(packer(WHOLE, [4, 4, 4], [4], [2, 2])) == [
        [(0, 0, 0, 4), (1, 0, 0, 4), (2, 0, 0, 2)],
        [(0, 1, 0, 4), (2, 1, 0, 2), (0, 2, 0, 4)],
    ]


def test_a_request_of_one_input_does_not_wait_for_one_of_thousands() -> None:
    made = packer(WHOLE, [5] * 2000)
    made.account(made.plan())
    made.add(1, [[7]])
    assert [part.input.request_id for part in made.plan()] == [0, 1]


def test_a_large_input_gets_a_batch_of_its_own() -> None:
    assert batches(packer(WHOLE, [2, 30, 2])) == [
        [(0, 0, 0, 2)],
        [(0, 1, 0, 30)],
        [(0, 2, 0, 2)],
    ]


def test_an_input_that_may_be_cut_fills_the_batch_and_goes_on_in_the_next() -> None:
    assert batches(packer(CUT, [4, 17, 3])) == [
        [(0, 0, 0, 4), (0, 1, 0, 6)],
        [(0, 1, 6, 16)],
        [(0, 1, 16, 17), (0, 2, 0, 3)],
    ]


def test_what_goes_on_keeps_its_sequence_and_the_others_get_free_ones() -> None:
    made = packer(CUT, [4, 17, 3])
    made.account(made.plan())
    (going_on,) = made.plan()
    made.account([going_on])
    last, new = made.plan()
    assert (going_on.seq_id, last.seq_id, new.seq_id) == (1, 1, 0)


def test_a_batch_leaves_room_in_memory_for_what_goes_on() -> None:
    limits = Limits(tokens=10, longest=12, sequences=4, may_cut=True)
    assert batches(packer(limits, [12, 5]))[1:] == [[(0, 0, 10, 12)], [(0, 1, 0, 5)]]


def test_a_batch_has_no_more_inputs_than_there_are_sequences() -> None:
    assert [len(batch) for batch in batches(packer(WHOLE, [1] * 9))] == [4, 4, 1]


def test_a_plan_that_is_not_accounted_for_is_made_again() -> None:
    made = packer(CUT, [4, 17, 3])
    made.account(made.plan())
    assert made.plan() == made.plan()


@pytest.mark.parametrize("removed", [0, 1])
def test_a_request_that_is_removed_leaves_nothing_behind(removed: int) -> None:
    made = packer(CUT, [17, 5], [17, 5])
    made.account(made.plan())
    made.remove(removed)
    left = [part[0] for batch in batches(made) for part in batch]
    assert set(left) == {1 - removed}
    assert not made.busy


@pytest.mark.parametrize("sizes", [[31], [0], [1, 31]])
def test_an_input_that_can_never_be_computed_is_a_mistake(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="no tokens, or more than 30"):
        packer(WHOLE, sizes)


class Interleavings(RuleBasedStateMachine):
    """Any order of requests, batches, aborted batches and cancellations."""

    @initialize(
        tokens=st.integers(1, 12),
        more=st.integers(0, 20),
        sequences=st.integers(1, 5),
        may_cut=st.booleans(),
    )
    def begin(self, tokens: int, more: int, sequences: int, may_cut: bool) -> None:
        self.limits = Limits(
            tokens=tokens, longest=tokens + more, sequences=sequences, may_cut=may_cut
        )
        self.packer = Packer(self.limits)
        self.waiting: dict[int, list[int]] = {}
        self.computed: Counter[tuple[int, int]] = Counter()
        self.memory: dict[int, tuple[tuple[int, int], int]] = {}
        self.passed: dict[int, Counter[int]] = {}
        self.added = 0

    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        sizes = data.draw(st.lists(st.integers(1, self.limits.longest), min_size=1, max_size=12))
        self.packer.add(self.added, [[0] * size for size in sizes])
        self.waiting[self.added] = sizes
        self.passed[self.added] = Counter()
        self.added += 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.waiting)))
        self.packer.remove(request_id)
        del self.waiting[request_id], self.passed[request_id]

    @precondition(lambda self: self.waiting)
    @rule()
    def abort(self) -> None:
        self.check(self.packer.plan())

    @precondition(lambda self: self.waiting)
    @rule()
    def compute(self) -> None:
        parts = self.packer.plan()
        self.check(parts)
        self.remember(parts)
        self.packer.account(parts)
        for part in parts:
            if part.start == 0:
                self.count_begun(part.input.request_id)
            self.count(part)

    def check(self, parts: list[Part]) -> None:
        limits = self.limits
        sizes = [part.stop - part.start for part in parts]
        assert parts, "there is always something that fits"
        assert min(sizes) > 0
        assert sum(sizes) <= limits.tokens or (len(parts) == 1 and not limits.may_cut)
        assert len({part.seq_id for part in parts}) == len(parts) <= limits.sequences
        assert all(0 <= part.seq_id < limits.sequences for part in parts)
        assert all(part.start == 0 for part in parts[1:]), "what goes on comes first"
        if not limits.may_cut:
            assert all(part.start == 0 and part.completes for part in parts)
        assert parts[0].start + sum(sizes) <= limits.longest, "all of it fits into memory"
        assert all(part.input.request_id in self.waiting for part in parts)

    def remember(self, parts: list[Part]) -> None:
        first = parts[0]
        if first.start:
            key = (first.input.request_id, first.input.index)
            assert self.memory[first.seq_id] == (key, first.start)
        self.memory = {
            part.seq_id: ((part.input.request_id, part.input.index), part.stop) for part in parts
        }

    def count_begun(self, request_id: int) -> None:
        """Between two inputs of a request each other one has one at most."""
        self.passed[request_id].clear()
        for other, passed in self.passed.items():
            if other != request_id:
                passed[request_id] += 1
                assert passed[request_id] <= 1 or not self.still_to_begin(other)

    def still_to_begin(self, request_id: int) -> bool:
        sizes = self.waiting[request_id]
        return any(not self.computed[request_id, index] for index in range(len(sizes)))

    def count(self, part: Part) -> None:
        request_id, index = part.input.request_id, part.input.index
        assert self.computed[request_id, index] == part.start, "no token twice and none left out"
        self.computed[request_id, index] = part.stop
        sizes = self.waiting[request_id]
        if all(self.computed[request_id, at] == size for at, size in enumerate(sizes)):
            del self.waiting[request_id], self.passed[request_id]

    @invariant()
    def is_busy_while_something_is_left(self) -> None:
        if hasattr(self, "packer"):
            assert self.packer.busy == bool(self.waiting)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
