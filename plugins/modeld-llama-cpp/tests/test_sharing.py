# SPDX-License-Identifier: GPL-3.0-only
"""What sequences that begin alike compute, wait for and keep."""

from __future__ import annotations

from modeld_llama_cpp.scheduler import WORTH_WAITING, Scheduler
from modeld_llama_cpp.sequence import Copy, Forget, Sequence
from test_scheduler import step, stretches

SYSTEM = list(range(1000, 1100))
"""What several prompts begin with, 100 tokens."""


def prompt(request_id: int, tail: list[int], *, answer: int = 1, salt: str | None = "") -> Sequence:
    tokens = SYSTEM + tail
    return Sequence(request_id, tokens, len(tokens) + answer, salt)


def scheduler(**changes: object) -> Scheduler:
    made: dict[str, object] = {"cells": 1000, "slots": 4, "batch": 64, "kept": 4}
    return Scheduler(**made | changes)  # type: ignore[arg-type]


def run(on: Scheduler) -> list[dict[int, tuple[int, int]]]:
    """Step until nothing is left; who computed what."""
    seen = []
    while on.busy:
        seen.append(stretches(step(on)))
    return seen


def test_requests_that_arrive_together_compute_their_common_prefix_once() -> None:
    on = scheduler()
    requests = [prompt(number, [number] * 10) for number in range(3)]
    for one in requests:
        on.add(one)
    assert run(on) == [
        {0: (0, 64)},
        {0: (64, 110)},
        {1: (100, 110), 2: (100, 110)},
    ]
    assert [one.cached for one in requests] == [0, 100, 100]


def test_a_request_waits_only_for_what_saves_it_enough() -> None:
    on = scheduler()
    common = list(range(WORTH_WAITING - 1))
    for number in range(2):
        on.add(Sequence(number, [*common, number, number], len(common) + 3, ""))
    assert stretches(on.plan()).keys() == {0, 1}


def test_those_who_wait_for_a_prefix_hold_up_nobody_behind_them() -> None:
    on = scheduler(batch=32)
    on.add(prompt(1, [1]))
    on.add(prompt(2, [2]))
    on.add(Sequence(3, list(range(5)), 6, ""))
    assert stretches(step(on)) == {1: (0, 27), 3: (0, 5)}


def test_a_request_whose_leader_leaves_reads_for_itself() -> None:
    on = scheduler()
    leader = prompt(1, [1] * 10)
    on.add(leader)
    on.add(prompt(2, [2] * 10))
    step(on)
    on.remove(leader)
    assert run(on) == [{2: (64, 110)}]


def test_an_ended_request_is_kept_for_one_that_goes_on_from_it() -> None:
    on = scheduler()
    first = prompt(1, [1] * 10, answer=5)
    on.add(first)
    run(on)
    second = Sequence(2, [*first.tokens, 7, 8], 200, "")
    on.add(second)
    plan = step(on)
    assert plan.edits == []
    assert stretches(plan) == {2: (114, 116)}
    assert second.cached == 114


def test_a_kept_sequence_serves_again_what_only_begins_like_it() -> None:
    on = scheduler()
    on.add(prompt(1, [1] * 10))
    run(on)
    for number in (2, 3):
        on.add(prompt(number, [number] * 10))
        plan = step(on)
        assert [edit.count for edit in plan.edits if isinstance(edit, Copy)] == [100]
        assert stretches(plan) == {number: (100, 110)}
        run(on)


def test_the_same_prompt_again_computes_its_last_token() -> None:
    on = scheduler()
    on.add(prompt(1, [1] * 10))
    run(on)
    again = prompt(2, [1] * 10)
    on.add(again)
    assert run(on) == [{2: (109, 110)}]
    assert again.cached == 109


def test_a_prompt_under_another_salt_is_not_seen() -> None:
    on = scheduler(cells=2000)
    on.add(prompt(1, [1] * 10, salt="a"))
    run(on)
    other = prompt(2, [1] * 10, salt="b")
    alongside = prompt(3, [1] * 10, salt="c")
    on.add(other)
    on.add(alongside)
    assert stretches(step(on)) == {2: (0, 32), 3: (0, 32)}
    assert (other.cached, alongside.cached) == (0, 0)


def test_a_request_that_wants_no_cache_neither_uses_nor_leaves_any() -> None:
    on = scheduler()
    on.add(prompt(1, [1] * 10))
    run(on)
    on.add(prompt(2, [1] * 10, salt=None))
    assert run(on)[0] == {2: (0, 64)}
    used = on.cells.used
    on.add(prompt(3, [3] * 10, salt=None))
    run(on)
    assert on.cells.used == used


def test_a_cancelled_request_leaves_what_it_has_computed() -> None:
    on = scheduler()
    first = prompt(1, [1] * 10)
    on.add(first)
    step(on)
    on.remove(first)
    on.add(prompt(2, [2] * 10))
    assert stretches(step(on)) == {2: (64, 110)}


def test_a_failed_request_leaves_nothing() -> None:
    on = scheduler()
    first = prompt(1, [1] * 10)
    on.add(first)
    step(on)
    on.remove(first, keep=False)
    assert on.cells.used == 0


def test_the_kept_sequence_that_was_not_used_for_longest_goes_first() -> None:
    on = scheduler(kept=2)
    for number in (1, 2):
        on.add(Sequence(number, [number] * 50, 51, ""))
        run(on)
    on.add(Sequence(3, [1] * 50, 51, ""))
    run(on)
    on.add(Sequence(4, [4] * 50, 51, ""))
    run(on)
    again = [Sequence(number, [number % 4] * 50, 51, "") for number in (5, 6)]
    for one in again:
        on.add(one)
        run(on)
    assert [one.cached for one in again] == [49, 0]


def test_kept_sequences_make_way_for_running_ones() -> None:
    on = scheduler(cells=200)
    on.add(Sequence(1, [1] * 120, 121, ""))
    run(on)
    on.add(Sequence(2, [2] * 150, 160, ""))
    assert any(isinstance(edit, Forget) for edit in step(on).edits)
    run(on)
    assert on.cells.used <= 200


def test_no_more_cells_are_kept_than_allowed() -> None:
    on = scheduler(kept_cells=130)
    for number in (1, 2, 3):
        on.add(Sequence(number, [number] * 60, 61, ""))
        run(on)
    assert on.cells.used == 120


def test_nothing_is_kept_where_nothing_may_be() -> None:
    for on in (scheduler(kept=0), scheduler(kept_cells=0)):
        on.add(prompt(1, [1] * 10))
        run(on)
        assert on.cells.used == 0


def test_one_kept_copy_of_the_same_text_is_enough() -> None:
    on = scheduler()
    for number in range(3):
        on.add(prompt(number, [1] * 10, answer=5))
    run(on)
    assert on.cells.used == 100 + 14


def test_a_memory_that_cannot_be_cut_serves_only_what_goes_on_from_its_end() -> None:
    on = scheduler(in_parts=False, slots=2, kept=0)
    first = prompt(1, [1] * 10, answer=5)
    on.add(first)
    run(on)
    branch = prompt(2, [2] * 10)
    on.add(branch)
    assert run(on)[0] == {2: (0, 64)}
    following = Sequence(3, [*first.tokens, 7, 8], 200, "")
    on.add(following)
    plan = step(on)
    assert plan.edits == []
    assert stretches(plan) == {3: (114, 116)}
    assert (branch.cached, following.cached) == (0, 114)


def test_a_memory_that_cannot_be_cut_gives_its_slots_up_to_new_requests() -> None:
    on = scheduler(in_parts=False, slots=2, kept=0)
    for number in range(4):
        on.add(Sequence(number, [number] * 20, 21, ""))
        run(on)
    both = [Sequence(number, [number] * 20, 30, "") for number in (8, 9)]
    for one in both:
        on.add(one)
    assert stretches(step(on)).keys() == {8, 9}
