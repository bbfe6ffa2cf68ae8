# SPDX-License-Identifier: GPL-3.0-only
"""What is left in its cells of a sequence that has ended, and for whom."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf

from modeld_llama_cpp.engine.prefix_cache import WORTH_SAVING, PrefixCache, SavedSequence
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
from modeld_llama_cpp.engine.state import State


class Desk:
    """A scheduler with a prefix cache that keeps what the plans save."""

    def __init__(self, *, cells: int = 2000, slots: int = 3) -> None:
        self.cache = PrefixCache(2000)
        self.scheduler = Scheduler(cells=cells, slots=slots, batch=512, prefix_cache=self.cache)

    def add(self, sequence: Sequence) -> Sequence:
        self.scheduler.add(sequence)
        return sequence

    def step(self) -> Plan:
        plan = self.scheduler.plan()
        for edit in plan.edits:
            if isinstance(edit, Save) and self.cache.wants(edit.tokens, edit.salt):
                state = State.of(bytearray(1))
                self.cache.add(SavedSequence(tokens=edit.tokens, salt=edit.salt, state=state))
        self.scheduler.account(plan)
        for part in plan.parts:
            part.sequence.tokens.append(0)
        return plan

    def run(self, sequence: Sequence, written: int = 1) -> list[Edit]:
        """Let a sequence come, write and rest; return the edits that this took."""
        self.add(sequence)
        edits = [edit for _ in range(written) for edit in self.step().edits]
        assert self.scheduler.may_rest(sequence)
        self.scheduler.rest(sequence, is_saved=False)
        return edits


def prompt(*parts: tuple[int, int], salt: str | None = "") -> Sequence:
    """A sequence whose tokens are each repeated so often."""
    tokens = [token for token, count in parts for _ in range(count)]
    return Sequence(tokens[0], tokens, len(tokens) + 600, salt)


def saved(edits: SequenceOf[Edit]) -> list[int]:
    return [len(edit.tokens) for edit in edits if isinstance(edit, Save)]


def test_one_that_goes_on_from_what_rests_takes_its_place() -> None:
    desk = Desk()
    desk.run(prompt((1, 40)))
    following = prompt((1, 40), (2, 5))
    assert desk.run(following) == []
    assert following.cached == 40
    assert desk.scheduler.cells.used == 45


def test_a_short_tail_of_what_rests_is_dropped() -> None:
    desk = Desk()
    desk.run(prompt((1, 40), (2, WORTH_SAVING - 1)))
    assert desk.run(prompt((1, 40), (3, 5))) == [Cut(0, 40)]
    assert desk.scheduler.cells.used == 45


def test_a_long_tail_is_saved_before_it_is_cut() -> None:
    desk = Desk()
    desk.run(prompt((1, 5), (2, 30)))
    edits = desk.run(prompt((1, 5), (3, 30)))
    assert saved(edits) == [35]
    assert edits[1:] == [Cut(0, 5)]


def test_who_begins_otherwise_comes_to_an_empty_memory() -> None:
    desk = Desk(cells=100)
    desk.run(Sequence(1, [1] * 60, 90, ""))
    edits = desk.run(Sequence(2, [2] * 70, 90, ""))
    assert saved(edits) == [60]
    assert edits[1:] == [Forget(0)]
    assert desk.scheduler.cells.used == 70


def test_what_rests_gives_way_to_what_is_restored() -> None:
    desk = Desk(cells=100)
    for token in (1, 2):
        desk.run(Sequence(token, [token] * 60, 90, ""))
    edits = desk.run(Sequence(3, [1] * 60 + [3] * 5, 90, ""))
    assert [type(edit) for edit in edits] == [Save, Forget, Restore]
    assert desk.scheduler.cells.used == 65


def test_nobody_rests_who_was_in_company() -> None:
    desk = Desk()
    first, second = desk.add(prompt((1, 30))), desk.add(prompt((2, 30)))
    desk.step()
    assert not desk.scheduler.may_rest(first), "another one runs"
    desk.scheduler.remove(second)
    assert not desk.scheduler.may_rest(first), "another one has run, whose cells are a hole now"
    desk.scheduler.remove(first)
    desk.run(prompt((3, 30)))


def test_those_that_come_together_share_what_the_first_of_them_has_taken_over() -> None:
    desk = Desk()
    desk.run(prompt((1, 9), (2, 5)))
    first, second = desk.add(prompt((1, 9), (3, 4))), desk.add(prompt((1, 9), (4, 4)))
    assert desk.step().edits == [Cut(0, 9), Copy(0, 1, 9)]
    assert (first.cached, second.cached) == (9, 9)


def test_who_begins_like_what_is_just_being_saved_waits_for_that() -> None:
    desk = Desk()
    desk.run(prompt((1, 9), (2, 50)))
    desk.add(prompt((1, 9), (3, 4)))
    second = desk.add(prompt((1, 9), (2, 50), (4, 1)))
    assert [part.sequence.tokens[0] for part in desk.step().parts] == [1]
    assert second.seq_id is None
    desk.step()
    assert second.cached == 59


def test_what_rests_is_for_its_salt_only() -> None:
    desk = Desk()
    desk.run(prompt((1, 30), salt="a"))
    other = prompt((1, 30), (2, 5), salt="b")
    desk.run(other)
    assert other.cached == 0


def test_who_shares_with_nobody_does_not_rest() -> None:
    desk = Desk()
    one = desk.add(prompt((1, 30), salt=None))
    desk.step()
    assert not desk.scheduler.may_rest(one)


def test_letting_go_leaves_nothing_behind() -> None:
    desk = Desk()
    desk.run(prompt((1, 30)))
    edits = desk.scheduler.let_go()
    assert saved(edits) == [30]
    assert edits[1:] == [Forget(0)]
    assert desk.scheduler.cells.used == 0
    assert desk.scheduler.let_go() == []
