# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections.abc import Sequence as SequenceOf

from modeld_llama_cpp.engine.prefix_cache import WORTH_SAVING, PrefixCache
from modeld_llama_cpp.engine.resting import MOST_UNSAVED, PATIENCE
from modeld_llama_cpp.engine.scheduler import Scheduler
from modeld_llama_cpp.engine.sequence import Copy, Cut, Edit, Forget, Plan, Save, Sequence


def scheduler(*, cells: int = 2000, slots: int = 3) -> Scheduler:
    return Scheduler(cells=cells, slots=slots, batch=512, prefix_cache=PrefixCache(2000))


def prompt(*parts: tuple[int, int], salt: str = "") -> Sequence:
    """A sequence whose tokens are each repeated so often."""
    tokens = [token for token, count in parts for _ in range(count)]
    return Sequence(tokens[0], tokens, len(tokens) + 600, salt)


def run(scheduler: Scheduler, sequence: Sequence, written: int = 1) -> list[Edit]:
    """Let a sequence come, write and end; return the edits that this took."""
    edits: list[Edit] = []
    scheduler.add(sequence)
    for _ in range(written):
        edits += step(scheduler).edits
    scheduler.rest(sequence, is_saved=False)
    return edits


def step(scheduler: Scheduler) -> Plan:
    plan = scheduler.plan()
    scheduler.account(plan)
    for part in plan.parts:
        part.sequence.tokens.append(0)
    return plan


def tokens_of(edits: SequenceOf[Edit]) -> list[int]:
    return [len(edit.tokens) for edit in edits if isinstance(edit, Save)]


def test_the_next_one_shares_the_cells_and_what_rests_stays() -> None:
    desk = scheduler()
    run(desk, prompt((1, 9), (2, 20)))
    assert run(desk, prompt((1, 9), (3, 4))) == [Copy(0, 1, 9)]
    assert desk.cells.used == 9 + 20 + 4


def test_one_that_goes_on_from_what_rests_takes_its_place() -> None:
    desk = scheduler()
    run(desk, prompt((1, 40)))
    following = prompt((1, 40), (2, 5))
    assert run(desk, following) == []
    assert following.cached == 40
    assert desk.cells.used == 45


def test_a_short_rest_beyond_what_is_shared_is_dropped() -> None:
    desk = scheduler()
    run(desk, prompt((1, 40), (2, WORTH_SAVING - 1)))
    assert run(desk, prompt((1, 40), (3, 5))) == [Cut(0, 40)]
    assert desk.cells.used == 45


def test_what_rests_longest_gives_its_id_away_and_is_saved() -> None:
    desk = scheduler(slots=2)
    run(desk, prompt((1, 30)))
    run(desk, prompt((2, 20)))
    assert tokens_of(run(desk, prompt((3, 20)))) == [30]
    assert desk.cells.used == 40


def test_the_only_id_is_taken_over_from_its_source_which_is_saved_before() -> None:
    desk = scheduler(slots=1)
    run(desk, prompt((1, 5), (2, 30)))
    edits = run(desk, prompt((1, 5), (3, 30)))
    assert tokens_of(edits) == [35]
    assert edits[1:] == [Cut(0, 5)]


def test_what_rests_gives_way_to_whoever_wants_its_cells() -> None:
    desk = scheduler(cells=100)
    run(desk, Sequence(1, [1] * 60, 90, ""))
    one = Sequence(2, [2] * 70, 90, "")
    desk.add(one)
    edits = step(desk).edits
    assert tokens_of(edits) == [60]
    assert edits[1:] == [Forget(0)]
    assert desk.cells.used == 70


def test_nothing_rests_for_longer_than_it_is_worth_to_others() -> None:
    desk = scheduler()
    run(desk, prompt((1, 30)))
    edits = run(desk, prompt((2, 8)), PATIENCE - 8)
    assert edits == []
    assert tokens_of(run(desk, prompt((3, 8)))) == []
    assert tokens_of(run(desk, prompt((4, 8)))) == [30]


def test_one_that_another_goes_on_from_is_not_saved_too() -> None:
    desk = scheduler()
    desk.add(first := prompt((1, 30)))
    desk.add(second := prompt((1, 30), (2, 9)))
    step(desk)
    for one in (first, second):
        desk.rest(one, is_saved=False)
    assert tokens_of(desk.let_go_all()) == [39]


def test_what_rests_is_for_its_salt_only() -> None:
    desk = scheduler()
    run(desk, prompt((1, 30), salt="a"))
    other = prompt((1, 30), (2, 5), salt="b")
    assert run(desk, other) == []
    assert other.cached == 0


def test_only_so_much_rests_without_being_saved() -> None:
    desk = scheduler()
    for size in (MOST_UNSAVED - 40, 40):
        desk.add(one := prompt((size, size)))
        step(desk)
        assert desk.may_rest_unsaved(one)
        desk.rest(one, is_saved=False)
    desk.add(one := prompt((3, 1)))
    step(desk)
    assert not desk.may_rest_unsaved(one)
