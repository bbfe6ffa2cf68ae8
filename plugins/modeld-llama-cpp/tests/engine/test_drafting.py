# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modeld_llama_cpp.engine.drafting import LENGTH, Drafting, Likelihood, PromptLookup

tokens_lists = st.lists(st.integers(0, 2), min_size=1, max_size=60)


def draft_of(tokens: Sequence[int], count: int, lookup: PromptLookup | None = None) -> list[int]:
    lookup = PromptLookup() if lookup is None else lookup
    lookup.read(tokens)
    return list(lookup.draft_tokens(tokens, count))


def test_what_followed_the_same_tokens_before_is_drafted() -> None:
    assert draft_of([1, 2, 3, 4, 5, 1, 2, 3], 2) == [4, 5]


def test_the_latest_time_counts() -> None:
    assert draft_of([1, 2, 3, 4, 1, 2, 3, 9, 1, 2, 3], 1) == [9]


def test_without_a_like_there_is_no_draft_and_no_chance() -> None:
    for tokens in ([1, 2, 3, 4, 5], [1]):
        lookup = PromptLookup()
        assert draft_of(tokens, 4, lookup) == []
        assert lookup.chances(4) == []


def test_what_goes_round_is_drafted_round() -> None:
    assert draft_of([1, 2, 3, 1, 2, 3], 7) == [1, 2, 3, 1, 2, 3, 1]


@given(tokens_lists, st.integers(1, 8))
def test_a_draft_is_what_has_followed_the_last_tokens(tokens: list[int], count: int) -> None:
    growing = PromptLookup()
    for end in range(1, len(tokens) + 1):
        text = tokens[:end]
        draft = draft_of(text, count, growing)
        assert len(draft) in {0, count}
        assert bool(draft) == bool(growing.chances(1))
        runs = [tuple(text[at : at + LENGTH]) for at in range(end - LENGTH)]
        assert bool(draft) >= (tuple(text[-LENGTH:]) in runs)
        if draft:
            whole = text + draft
            assert any(
                whole[at : at + LENGTH + count] == whole[end - LENGTH :]
                for at in range(end - LENGTH)
            )


def test_a_draft_ends_before_what_may_not_come() -> None:
    lookup = PromptLookup(lambda tokens: list(tokens).index(5))
    assert draft_of([1, 2, 3, 4, 5, 6, 1, 2, 3], 3, lookup) == [4]


def test_more_that_was_the_same_makes_what_follows_likelier() -> None:
    short, long = PromptLookup(), PromptLookup()
    short.read([*range(40), 50, 17, 18, 19])
    long.read([*range(40), *range(20)])
    assert long.chances(3) > short.chances(3)
    assert long.chances(3) == sorted(long.chances(3), reverse=True)


def test_a_sequence_that_does_not_repeat_itself_drafts_less_than_one_that_does() -> None:
    quoting, free = PromptLookup(), PromptLookup()
    text = list(range(100))
    quoting.read(text + text[:4])
    free.read(text + text[:4])
    quoting.read(text + text[:20])
    broken = text + text[:4]
    for start in range(10, 90, 10):  # each time it goes its own way after four
        broken += [500 + start, *text[start : start + 4]]
    free.read(broken)
    assert quoting.chances(4)[0] > 0.9
    assert free.chances(4)[0] < 0.5


@given(tokens_lists)
def test_chances_are_likelihoods_and_fall(tokens: list[int]) -> None:
    lookup = PromptLookup()
    for end in range(1, len(tokens) + 1):
        lookup.read(tokens[:end])
        chances = lookup.chances(5)
        assert all(0.0 <= chance <= 1.0 for chance in chances)
        assert chances == sorted(chances, reverse=True)


def test_what_holds_for_one_sequence_is_expected_of_the_next() -> None:
    likelihood = Likelihood()
    before = likelihood.share(LENGTH)
    for _ in range(20):
        likelihood.note(LENGTH, is_right=False)
    assert likelihood.share(LENGTH) < before / 2
    assert likelihood.share(40) == Likelihood().share(40)


def test_who_writes_freely_is_not_taken_for_one_who_quotes() -> None:
    likelihood = Likelihood()
    for _ in range(200):
        likelihood.note(LENGTH, is_right=True)
    assert likelihood.share(LENGTH) == Likelihood().share(LENGTH)


def with_costs(drafting: Drafting, **ratios: float) -> Drafting:
    """Let a step of so many tokens have taken so many times as long as one of a single token."""
    for tokens, ratio in ratios.items():
        drafting.costs.note(int(tokens.removeprefix("of")), ratio)
    return drafting


def test_much_is_drafted_where_more_tokens_cost_nothing() -> None:
    drafting = with_costs(Drafting(8, 16), of1=1.0, of9=1.0)
    assert drafting.counts(1, [[0.9**n for n in range(1, 9)]], 99) == [8]


def test_nothing_is_drafted_that_does_not_pay() -> None:
    likely, unlikely = [[0.95**n for n in range(1, 9)]], [[0.4**n for n in range(1, 9)]]
    assert Drafting(8, 16).counts(1, unlikely, 99) == [0]
    assert with_costs(Drafting(8, 16), of1=1.0, of2=9.0).counts(1, likely, 99) == [0]


def test_the_number_of_tokens_that_costs_least_for_what_it_promises_is_drafted() -> None:
    drafting = with_costs(Drafting(8, 16), of1=1.0, of2=2.2, of4=2.3, of5=4.0)
    assert drafting.counts(1, [[0.95**n for n in range(1, 9)]], 99) == [3]


def test_the_likeliest_tokens_of_all_sequences_come_first() -> None:
    drafting = with_costs(Drafting(8, 4), of3=1.0, of7=1.01)
    assert drafting.counts(3, [[0.9, 0.8, 0.7], [], [0.85, 0.2]], 99) == [3, 0, 1]


def test_no_more_is_drafted_than_there_is_room_for() -> None:
    drafting = with_costs(Drafting(8, 16), of1=1.0, of9=1.0)
    chances = [[0.99] * 8]
    assert drafting.counts(1, chances, 3) == [3]
    assert drafting.counts(1, chances, 0) == [0]
    assert drafting.counts(1, chances, -1) == [0]


def test_a_size_that_once_seemed_dear_is_tried_again() -> None:
    drafting = with_costs(Drafting(8, 8), of1=1.0, **{f"of{n}": 40.0 for n in range(2, 10)})
    chances = [[0.99] * 8]
    tries = next(number for number in range(5000) if drafting.counts(1, chances, 99) != [0])
    assert tries > 100, "not soon, as it may have been right"


@given(
    st.lists(st.lists(st.floats(0, 1), max_size=8), min_size=1, max_size=6),
    st.integers(0, 20),
    st.dictionaries(st.integers(1, 30), st.floats(0.001, 10)),
)
def test_every_choice_keeps_to_its_bounds(
    chances: list[list[float]], room: int, costs: dict[int, float]
) -> None:
    drafting = Drafting(8, 12)
    for tokens, spent_s in costs.items():
        drafting.costs.note(tokens, spent_s)
    falling = [sorted(each, reverse=True) for each in chances]
    counts = drafting.counts(len(chances), falling, room)
    assert sum(counts) <= min(room, 12)
    assert all(count <= len(each) for count, each in zip(counts, falling, strict=True))


@pytest.mark.parametrize("spent_s", [0.0, -1.0])
def test_a_step_in_which_no_time_has_passed_says_nothing(spent_s: float) -> None:
    drafting = Drafting(8, 16)
    drafting.costs.note(1, spent_s)
    assert drafting.costs.ratio(5, 1) == Drafting(8, 16).costs.ratio(5, 1)


def test_one_slow_step_changes_an_estimate_a_little() -> None:
    drafting = with_costs(Drafting(8, 16), of1=1.0, of2=1.5)
    drafting.costs.note(2, 100.0)
    assert drafting.costs.ratio(2, 1) < 2.0
