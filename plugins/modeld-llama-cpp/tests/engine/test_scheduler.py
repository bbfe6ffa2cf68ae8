# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest
from driver import stretches
from hypothesis import given
from hypothesis import strategies as st
from modeld_llama_cpp.engine.drafting import Drafting, PromptLookup
from modeld_llama_cpp.engine.prefill import shares
from modeld_llama_cpp.engine.scheduler import FORCED, Scheduler
from modeld_llama_cpp.engine.sequence import Forget, Part, Plan, Sequence


def sequence(request_id: int, prompt: int, generation: int = 1) -> Sequence:
    return Sequence(request_id, list(range(prompt)), prompt + generation)


def step(scheduler: Scheduler) -> Plan:
    """One step in which every computed sequence gets its next token."""
    plan = scheduler.plan()
    ready = [part.sequence for part in plan.parts if part.completes]
    scheduler.account(plan)
    for one in ready:
        if len(one.tokens) + 1 >= one.limit:
            scheduler.remove(one)
        else:
            one.tokens.append(0)
    return plan


def test_a_prompt_is_read_in_pieces_of_the_batch() -> None:
    scheduler = Scheduler(cells=100, slots=2, batch=10)
    scheduler.add(sequence(1, 25))
    assert [stretches(step(scheduler)) for _ in range(3)] == [
        {1: (0, 10)},
        {1: (10, 20)},
        {1: (20, 25)},
    ]
    assert not scheduler.busy


def test_running_generations_go_first_and_prompts_share_the_rest() -> None:
    scheduler = Scheduler(cells=1000, slots=3, batch=11)
    scheduler.add(sequence(1, 1, generation=9))
    step(scheduler)
    scheduler.add(sequence(2, 3))
    scheduler.add(sequence(3, 50))
    assert stretches(step(scheduler)) == {1: (1, 2), 2: (0, 3), 3: (0, 7)}


def test_only_the_end_of_a_prompt_completes_it() -> None:
    one = sequence(1, 5)
    assert not Part(one, 0, 4).completes
    assert Part(one, 4, 5).completes


def test_half_is_for_the_oldest_prompt_and_the_shortest_follow() -> None:
    assert shares(12, [100, 100, 2]) == [6, 4, 2]
    assert shares(12, [100, 2, 3]) == [7, 2, 3]
    assert shares(12, [2, 100, 4]) == [2, 6, 4]
    assert shares(3, [7, 7]) == [2, 1]


@given(st.integers(1, 300), st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_shares_use_the_budget_up_and_never_leave_the_oldest_out(
    budget: int, missing: list[int]
) -> None:
    given_out = shares(budget, missing)
    assert sum(given_out) == min(budget, sum(missing))
    assert all(0 <= got <= want for got, want in zip(given_out, missing, strict=True))
    assert given_out[0] >= min(missing[0], budget / 2)


def test_tokens_that_were_forced_are_computed_with_the_one_before_them() -> None:
    scheduler = Scheduler(cells=1000, slots=3, batch=8, chunk=2)
    writing, other, reading = (
        sequence(n, size, generation=99) for n, size in ((1, 2), (2, 2), (3, 9))
    )
    for one in (writing, other):
        scheduler.add(one)
    step(scheduler)
    writing.tokens += [7, 7, 7]
    scheduler.add(reading)
    assert stretches(step(scheduler)) == {1: (2, 6), 2: (2, 3), 3: (0, 2)}


def test_forced_tokens_leave_every_other_generation_its_own() -> None:
    scheduler = Scheduler(cells=1000, slots=3, batch=8)
    writing = [sequence(n, 2, generation=99) for n in range(3)]
    for one in writing:
        scheduler.add(one)
    step(scheduler)
    writing[0].tokens += [7] * 20
    assert stretches(step(scheduler)) == {0: (2, 8), 1: (2, 3), 2: (2, 3)}
    assert stretches(step(scheduler)) == {0: (8, 14), 1: (3, 4), 2: (3, 4)}


def test_very_many_forced_tokens_are_read_like_a_prompt() -> None:
    scheduler = Scheduler(cells=1000, slots=2, batch=200, chunk=10)
    for number in range(2):
        scheduler.add(sequence(number, 2, generation=300))
    plan = step(scheduler)
    plan.parts[0].sequence.tokens += [7] * FORCED
    assert stretches(step(scheduler)) == {0: (2, 12), 1: (2, 3)}


def drafting(most: int) -> Drafting:
    """A drafting for a machine on which more tokens take no more time."""
    drafting = Drafting(most, 16)
    for tokens in range(1, 99):
        drafting.costs.note(tokens, 1.0)
    return drafting


def test_draft_tokens_leave_room_for_forced_ones() -> None:
    scheduler = Scheduler(cells=1000, slots=2, batch=10, drafting=drafting(8))
    for number in range(2):
        one = sequence(number, 2, generation=99)
        one.lookup = PromptLookup()
        scheduler.add(one)
    plan = step(scheduler)
    first, second = (part.sequence for part in plan.parts)
    first.tokens[:] = [0] * 7
    second.tokens[:] = [0] * 4
    plan = scheduler.plan()
    assert stretches(plan) == {0: (2, 7), 1: (2, 4)}
    assert sum(len(part.draft) for part in plan.parts) == 3


def test_only_steps_that_choose_after_each_token_say_what_drafts_cost() -> None:
    drafts = Drafting(8, 16)
    scheduler = Scheduler(cells=1000, slots=2, batch=10, drafting=drafts)
    one = sequence(1, 3, generation=99)
    scheduler.add(one)
    scheduler.note_cost(step(scheduler), 5.0)
    assert drafts.costs.ratio(3, 1) == Drafting(8, 16).costs.ratio(3, 1)
    scheduler.note_cost(step(scheduler), 1.0)
    scheduler.note_cost(Plan([Part(one, 4, 5, [0, 0])]), 7.0)
    assert drafts.costs.ratio(3, 1) == 7.0


def test_prompts_get_only_a_chunk_beside_running_generations() -> None:
    scheduler = Scheduler(cells=1000, slots=2, batch=100, chunk=10)
    scheduler.add(sequence(1, 60, generation=9))
    assert stretches(step(scheduler)) == {1: (0, 60)}
    scheduler.add(sequence(2, 50))
    assert stretches(step(scheduler)) == {1: (60, 61), 2: (0, 10)}


def test_a_request_waits_until_its_prompt_and_room_for_a_generation_fit() -> None:
    scheduler = Scheduler(cells=100, slots=2, batch=100)
    first, second = sequence(1, 50, generation=10), sequence(2, 40, generation=5)
    scheduler.add(first)
    scheduler.add(second)
    assert stretches(step(scheduler)) == {1: (0, 50)}
    scheduler.remove(first)
    assert stretches(step(scheduler)) == {2: (0, 40)}


def test_nobody_overtakes_a_request_that_waits_for_cells() -> None:
    scheduler = Scheduler(cells=100, slots=3, batch=100)
    for one in (sequence(1, 50), sequence(2, 60), sequence(3, 1)):
        scheduler.add(one)
    assert stretches(scheduler.plan()).keys() == {1}


def test_when_cells_run_out_the_youngest_gives_way_and_comes_back_to_finish() -> None:
    scheduler = Scheduler(cells=600, slots=2, batch=600)
    old, young = sequence(1, 20, generation=500), sequence(2, 20, generation=500)
    scheduler.add(old)
    scheduler.add(young)
    plans = [step(scheduler)]
    assert plans[0].parts[1].sequence is young
    young_id = young.seq_id
    while not plans[-1].edits:
        plans.append(step(scheduler))
    assert plans[-1].edits == [Forget(young_id)]
    assert stretches(plans[-1]).keys() == {1}
    while scheduler.busy:
        plans.append(step(scheduler))
    assert len(young.tokens) == young.limit - 1
    assert sum(Forget(young_id) in plan.edits for plan in plans) == 1


def test_a_sequence_with_a_token_in_every_batch_is_a_condition() -> None:
    with pytest.raises(ValueError, match="batch of 3 has no room for each of 4 slots"):
        Scheduler(cells=10, slots=4, batch=3)


@pytest.mark.parametrize(("prompt", "generation"), [(0, 5), (5, 6), (11, 0)])
def test_what_can_never_fit_is_refused(prompt: int, generation: int) -> None:
    scheduler = Scheduler(cells=10, slots=1, batch=1)
    with pytest.raises(ValueError, match="do not fit into 10 cells"):
        scheduler.add(sequence(1, prompt, generation))


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=12))
def test_requests_are_admitted_in_the_order_of_their_arrival(
    sizes: list[tuple[int, int]],
) -> None:
    scheduler = Scheduler(cells=120, slots=3, batch=16)
    for number, (prompt, generation) in enumerate(sizes):
        scheduler.add(sequence(number, prompt, generation))
    seen: list[int] = []
    while scheduler.busy:
        scheduler.plan()
        seen += [one.request_id for one in scheduler._admitted if one.request_id not in seen]
        step(scheduler)
    assert seen == sorted(seen)
