# SPDX-License-Identifier: GPL-3.0-only
"""What all built-in policies have in common, and what each goes by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from modeld import Candidate, EvictionPolicy
from modeld.builtin.cost_aware import AHEAD_S, CostAware
from modeld.builtin.lfu import LeastFrequentlyUsed
from modeld.builtin.lru import LeastRecentlyUsed

POLICIES = (LeastRecentlyUsed(), LeastFrequentlyUsed(), CostAware())

AGES = {"old": 1.0, "young": 2.0}
NAMED = Candidate(model="", held_bytes=5, last_used_s=0.0, loaded_s=0.0, load_seconds=1.0)


def victims(policy: EvictionPolicy, candidates: list[Candidate], needed_bytes: int) -> list[str]:
    return [each.model for each in policy.choose(candidates, needed_bytes)]


@st.composite
def several(draw: st.DrawFn) -> list[Candidate]:
    """Return idle models, some of them alike in everything but the name."""
    count = draw(st.integers(0, 8))
    return [
        Candidate(
            model=f"m{number}",
            held_bytes=draw(st.integers(0, 20)),
            last_used_s=draw(st.integers(0, 3)),
            loaded_s=draw(st.integers(0, 3)),
            load_seconds=draw(st.sampled_from([0.0, 0.5, 30.0])),
            uses=draw(st.integers(0, 3)),
            rate_per_s=draw(st.sampled_from([0.0, 1e-9, 0.01, 5.0])),
        )
        for number in range(count)
    ]


@given(candidates=several(), needed_bytes=st.integers(-5, 100), data=st.data())
def test_victims_are_enough_none_is_superfluous_and_their_order_does_not_matter(
    candidates: list[Candidate], needed_bytes: int, data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(candidates))
    for policy in POLICIES:
        chosen = policy.choose(candidates, needed_bytes)
        assert list(policy.choose(shuffled, needed_bytes)) == list(chosen), policy.name
        assert all(each in candidates for each in chosen)
        assert len({each.model for each in chosen}) == len(chosen)
        freed = sum(each.held_bytes for each in chosen)
        if needed_bytes <= 0 or sum(each.held_bytes for each in candidates) < needed_bytes:
            assert not chosen
        else:
            assert freed >= needed_bytes
            assert all(freed - each.held_bytes < needed_bytes for each in chosen), policy.name


def test_lfu_takes_what_was_asked_for_least_often_however_lately() -> None:
    often = replace(NAMED, model="often", uses=9, last_used_s=1.0)
    seldom = replace(NAMED, model="seldom", uses=2, last_used_s=9.0)
    assert victims(LeastFrequentlyUsed(), [often, seldom], 5) == ["seldom"]


def test_of_two_used_as_often_lfu_takes_the_one_used_longer_ago() -> None:
    old, young = (replace(NAMED, model=name, uses=2, last_used_s=at) for name, at in AGES.items())
    assert victims(LeastFrequentlyUsed(), [young, old], 5) == ["old"]


@pytest.mark.parametrize(
    ("dear", "cheap"),
    [
        ({"load_seconds": 60.0}, {"load_seconds": 2.0}),
        ({"rate_per_s": 0.01}, {"rate_per_s": 0.001}),
        ({"held_bytes": 6}, {"held_bytes": 60}),
        ({"held_bytes": 6, "load_seconds": 60.0}, {"held_bytes": 5, "load_seconds": 2.0}),
    ],
    ids=["slow to load", "likely to be wanted", "small", "slow and larger"],
)
def test_cost_aware_keeps_what_is_dear_for_its_bytes_though_it_was_used_longer_ago(
    dear: dict[str, float], cheap: dict[str, float]
) -> None:
    usual = replace(NAMED, rate_per_s=0.005, load_seconds=10.0)
    kept = replace(usual, model="kept", last_used_s=1.0, **dear)
    goes = replace(usual, model="goes", last_used_s=2.0, **cheap)
    assert victims(CostAware(), [kept, goes], 5) == ["goes"]


def test_for_cost_aware_a_model_that_is_certain_to_be_wanted_is_reloaded_once() -> None:
    hot = replace(NAMED, model="hot", rate_per_s=100.0, load_seconds=1.0)
    warm = replace(NAMED, model="warm", rate_per_s=10 / AHEAD_S, load_seconds=2.0)
    assert victims(CostAware(), [hot, warm], 5) == ["hot"]


def test_where_nobody_knows_a_rate_cost_aware_takes_what_was_used_longest_ago() -> None:
    old, young = (replace(NAMED, model=name, last_used_s=at) for name, at in AGES.items())
    assert victims(CostAware(), [young, old], 5) == ["old"]
