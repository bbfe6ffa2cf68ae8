# SPDX-License-Identifier: GPL-3.0-only
"""What sequences that begin alike compute, wait for and keep."""

from __future__ import annotations

from driver import stretches
from modeld_llama_cpp.engine.prefix_cache import PrefixCache, SavedSequence
from modeld_llama_cpp.engine.scheduler import Scheduler
from modeld_llama_cpp.engine.sequence import Copy, Plan, Restore, Sequence
from modeld_llama_cpp.engine.sharing import WORTH_WAITING
from modeld_llama_cpp.engine.state import State

SYSTEM = list(range(1000, 1100))
"""What several prompts begin with, 100 tokens."""


def prompt(
    request_id: int, tail: list[int], *, generation: int = 1, salt: str | None = ""
) -> Sequence:
    tokens = SYSTEM + tail
    return Sequence(request_id, tokens, len(tokens) + generation, salt)


class Rig:
    """A scheduler, and what the engine does with ended sequences."""

    def __init__(self, *, saved_tokens: int = 1000, **changes: object) -> None:
        made: dict[str, object] = {"cells": 1000, "slots": 4, "batch": 64, "in_parts": True}
        made |= changes
        self.prefix_cache = PrefixCache(saved_tokens, in_parts=bool(made["in_parts"]))
        self.scheduler = Scheduler(prefix_cache=self.prefix_cache, **made)  # type: ignore[arg-type]

    def add(self, one: Sequence) -> None:
        self.scheduler.add(one)

    def end(self, one: Sequence, *, keep: bool = True) -> None:
        tokens = tuple(one.tokens[: one.computed])
        if keep and one.salt is not None and self.prefix_cache.wants(tokens, one.salt):
            self.prefix_cache.add(
                SavedSequence(tokens=tokens, salt=one.salt, state=State.of(bytearray()))
            )
        self.scheduler.remove(one)

    def step(self) -> Plan:
        """One step in which every computed sequence gets its next token."""
        plan = self.scheduler.plan()
        ready = [part.sequence for part in plan.parts if part.completes]
        self.scheduler.account(plan)
        for one in ready:
            if len(one.tokens) + 1 >= one.limit:
                self.end(one)
            else:
                one.tokens.append(0)
        return plan

    def run(self) -> list[dict[int, tuple[int, int]]]:
        """Step until nothing is left; who computed what."""
        seen = []
        while self.scheduler.busy:
            seen.append(stretches(self.step()))
        return seen


def test_requests_that_arrive_together_compute_their_common_prefix_once() -> None:
    on = Rig()
    requests = [prompt(number, [number] * 10) for number in range(3)]
    for one in requests:
        on.add(one)
    assert on.run() == [
        {0: (0, 64)},
        {0: (64, 110)},
        {1: (100, 110), 2: (100, 110)},
    ]
    assert [one.cached for one in requests] == [0, 100, 100]


def test_a_request_waits_only_for_what_saves_it_enough() -> None:
    on = Rig()
    common = list(range(WORTH_WAITING - 1))
    for number in range(2):
        on.add(Sequence(number, [*common, number, number], len(common) + 3, ""))
    assert stretches(on.scheduler.plan()).keys() == {0, 1}


def test_those_who_wait_for_a_prefix_hold_up_nobody_behind_them() -> None:
    on = Rig(batch=32)
    on.add(prompt(1, [1]))
    on.add(prompt(2, [2]))
    on.add(Sequence(3, list(range(5)), 6, ""))
    assert stretches(on.step()) == {1: (0, 27), 3: (0, 5)}


def test_a_request_whose_leader_leaves_reads_for_itself() -> None:
    on = Rig()
    leader = prompt(1, [1] * 10)
    on.add(leader)
    on.add(prompt(2, [2] * 10))
    on.step()
    on.end(leader)
    assert on.run() == [{2: (64, 110)}]


def test_a_request_whose_leader_is_paused_reads_for_itself_at_once() -> None:
    on = Rig()
    leader = prompt(1, [1] * 10)
    on.add(leader)
    on.add(prompt(2, [2] * 10))
    on.step()
    on.scheduler.pause(leader)
    assert stretches(on.step()) == {2: (64, 110)}


def test_an_ended_request_is_saved_for_one_that_goes_on_from_it() -> None:
    on = Rig()
    first = prompt(1, [1] * 10, generation=5)
    on.add(first)
    on.run()
    assert on.scheduler.cells.used == 0
    second = Sequence(2, [*first.tokens, 7, 8], 200, "")
    on.add(second)
    plan = on.step()
    restored = [edit for edit in plan.edits if isinstance(edit, Restore)]
    assert [(len(edit.saved.tokens), edit.count) for edit in restored] == [(114, 114)]
    assert stretches(plan) == {2: (114, 116)}
    assert second.cached == 114


def test_a_saved_sequence_serves_again_what_only_begins_like_it() -> None:
    on = Rig()
    on.add(prompt(1, [1] * 10))
    on.run()
    for number in (2, 3):
        on.add(prompt(number, [number] * 10))
        plan = on.step()
        assert [edit.count for edit in plan.edits if isinstance(edit, Restore)] == [100]
        assert stretches(plan) == {number: (100, 110)}
        on.run()


def test_what_runs_is_copied_and_not_restored() -> None:
    on = Rig()
    on.add(prompt(1, [1] * 10))
    on.run()
    on.add(prompt(2, [2] * 10, generation=50))
    on.step()
    on.add(prompt(3, [3] * 10))
    plan = on.step()
    assert [edit.count for edit in plan.edits if isinstance(edit, Copy)] == [100]
    assert not [edit for edit in plan.edits if isinstance(edit, Restore)]


def test_a_saved_sequence_that_does_not_fit_beside_the_others_is_computed_again() -> None:
    on = Rig(cells=400, batch=400)
    on.add(Sequence(1, [1] * 200, 201, ""))
    on.run()
    on.add(Sequence(2, [2] * 250, 390, "", headroom=1))
    on.step()
    on.add(Sequence(3, [1] * 100, 101, ""))
    plan = on.step()
    assert not [edit for edit in plan.edits if isinstance(edit, Restore)]


def test_the_same_prompt_again_computes_its_last_token() -> None:
    on = Rig()
    on.add(prompt(1, [1] * 10))
    on.run()
    again = prompt(2, [1] * 10)
    on.add(again)
    assert on.run() == [{2: (109, 110)}]
    assert again.cached == 109


def test_what_could_not_be_brought_back_is_computed() -> None:
    on = Rig()
    on.add(prompt(1, [1] * 10))
    on.run()
    again = prompt(2, [1] * 10)
    on.add(again)
    (edit,) = [one for one in on.scheduler.plan().edits if isinstance(one, Restore)]
    on.prefix_cache.remove(edit.saved)
    on.scheduler.start_over({edit.seq_id})
    assert on.run() == [{2: (0, 64)}, {2: (64, 110)}]
    assert again.cached == 0


def test_a_leader_that_does_not_get_on_is_waited_for_no_longer() -> None:
    on = Rig(cells=5000, batch=40, chunk=4, slots=5)
    on.add(Sequence(1, [1], 500, ""))
    on.step()
    on.add(Sequence(2, [2] * 3000, 3001, ""))
    on.add(prompt(3, [3] * 500))
    on.add(Sequence(4, [4] * 300, 301, ""))
    on.add(prompt(5, [5]))
    plans = [stretches(on.step()) for _ in range(5)]
    assert any(5 in plan for plan in plans)


def test_followers_are_let_in_though_another_request_does_not_fit() -> None:
    on = Rig(cells=700)
    leader = prompt(1, [1] * 10, generation=400)
    on.add(leader)
    on.add(prompt(2, [2] * 10))
    on.add(Sequence(3, [3] * 600, 650, ""))
    seen = [stretches(on.step()) for _ in range(4)]
    assert any(2 in plan for plan in seen)
    assert not any(3 in plan for plan in seen)


def test_a_prompt_under_another_salt_is_not_seen() -> None:
    on = Rig(cells=2000)
    on.add(prompt(1, [1] * 10, salt="a"))
    on.run()
    other = prompt(2, [1] * 10, salt="b")
    alongside = prompt(3, [1] * 10, salt="c")
    on.add(other)
    on.add(alongside)
    assert stretches(on.step()) == {2: (0, 32), 3: (0, 32)}
    assert (other.cached, alongside.cached) == (0, 0)


def test_a_request_that_wants_no_cache_neither_uses_nor_leaves_any() -> None:
    on = Rig()
    on.add(prompt(1, [1] * 10))
    on.run()
    on.add(prompt(2, [1] * 10, salt=None))
    assert on.run()[0] == {2: (0, 64)}
    on.add(prompt(3, [3] * 10, salt=None))
    on.run()
    assert len(list(on.prefix_cache)) == 1


def test_a_cancelled_request_leaves_what_it_has_computed() -> None:
    on = Rig()
    first = prompt(1, [1] * 10)
    on.add(first)
    on.step()
    on.end(first)
    on.add(prompt(2, [2] * 10))
    assert stretches(on.step()) == {2: (64, 110)}


def test_a_failed_request_leaves_nothing() -> None:
    on = Rig()
    first = prompt(1, [1] * 10)
    on.add(first)
    on.step()
    on.end(first, keep=False)
    assert (on.scheduler.cells.used, list(on.prefix_cache)) == (0, [])


def test_what_was_found_is_what_was_found_at_first() -> None:
    on = Rig(cells=600, slots=2, batch=600)
    old, young = prompt(1, [1] * 10, generation=480), prompt(2, [1] * 10, generation=480)
    old.headroom = young.headroom = 1
    on.add(old)
    on.step()
    on.add(young)
    on.run()
    assert young.headroom > 1, "it was preempted"
    assert young.cached == 109


def test_a_memory_that_cannot_be_cut_serves_only_what_goes_on_from_its_end() -> None:
    on = Rig(in_parts=False, slots=2)
    first = prompt(1, [1] * 10, generation=5)
    on.add(first)
    on.run()
    branch = prompt(2, [2] * 10)
    on.add(branch)
    assert on.run()[0] == {2: (0, 64)}
    following = Sequence(3, [*first.tokens, 7, 8], 200, "")
    on.add(following)
    assert stretches(on.step()) == {3: (114, 116)}
    assert (branch.cached, following.cached) == (0, 114)


def test_a_memory_that_cannot_be_cut_shares_nothing_between_running_ones() -> None:
    on = Rig(in_parts=False)
    for number in range(2):
        on.add(prompt(number, [number] * 10))
    assert on.step().parts[1].start == 0


def test_where_kernels_take_several_tokens_at_once_the_rest_of_a_prompt_is_whole_blocks() -> None:
    rig = Rig(block=8)
    rig.add(prompt(0, list(range(20))))
    rig.run()
    again, longer, other = (prompt(1, list(range(tail)), generation=1) for tail in (20, 21, 4))
    for one, cached in ((again, 112), (longer, 112), (other, 96)):
        rig.add(one)
        rig.run()
        assert one.cached == cached
        assert one.cached % 8 == 0
        assert len(one.tokens) - one.cached >= 8


def test_what_is_shared_with_one_that_runs_is_whole_blocks_too() -> None:
    rig = Rig(block=8, batch=200)
    leader = prompt(0, list(range(20)), generation=9)
    rig.add(leader)
    rig.step()
    follower = prompt(1, [*range(5), 999, 999, 999, 999, 999], generation=9)
    rig.add(follower)
    rig.step()
    assert follower.cached == 96
