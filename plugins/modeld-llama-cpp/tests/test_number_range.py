# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest
from grammar_texts import Texts, describes
from hypothesis import given, settings
from hypothesis import strategies as st
from modeld_llama_cpp.json_rules import JsonRules
from modeld_llama_cpp.number_range import Bounds, integers, numbers, read_bounds
from modeld_llama_cpp.rules import ROOT, GrammarError, Rules

LIMITS = st.none() | st.integers(-130, 130) | st.sampled_from([-(10**6), 10**6])


def integer_rules(bounds: Bounds) -> Rules:
    rules = Rules()
    rules.define(ROOT, integers(bounds), "$")
    return rules


def number_rules(bounds: Bounds) -> Rules:
    rules = Rules()
    rules.define(ROOT, numbers(bounds, rules, JsonRules(rules), "$"), "$")
    return rules


@settings(max_examples=60, deadline=None, derandomize=True)
@given(low=LIMITS, high=LIMITS)
def test_integers_are_those_within_the_bounds(low: int | None, high: int | None) -> None:
    rules = integer_rules(Bounds(low, high))
    for number in (*range(-140, 141, 7), *(n + d for n in (low, high) if n for d in (-1, 0, 1))):
        inside = (low is None or low <= number) and (high is None or number <= high)
        assert describes(rules, str(number)) == inside, number
    assert not describes(rules, "00")
    assert not describes(rules, "-0")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(low=LIMITS, high=LIMITS, low_open=st.booleans(), high_open=st.booleans())
def test_numbers_are_within_the_bounds(
    low: int | None, high: int | None, *, low_open: bool, high_open: bool
) -> None:
    rules = number_rules(Bounds(low, high, low_open, high_open))
    if not rules.alternatives[ROOT]:
        assert low is not None
        assert high is not None
        assert low > high or (low == high and (low_open or high_open))
        return
    for seed in range(30):
        number = Decimal(Texts(rules, Random(seed)).make())
        assert low is None or low < number or (low == number and not low_open)
        assert high is None or number < high or (high == number and not high_open)


@pytest.mark.parametrize("text", ["0", "0.0", "0.25", "1", "1.00"])
def test_fractions_between_whole_bounds_are_described(text: str) -> None:
    assert describes(number_rules(Bounds(0, 1)), text)
    assert not describes(number_rules(Bounds(0, 1)), f"-{text}")
    assert not describes(number_rules(Bounds(0, 1)), "1.01")


def test_open_bounds_leave_out_only_the_bound() -> None:
    rules = number_rules(Bounds(-1, 1, low_open=True, high_open=True))
    assert [t for t in ("-1", "-1.0", "1", "1.0") if describes(rules, t)] == []
    assert [t for t in ("-0.9", "0", "0.9") if not describes(rules, t)] == []


@pytest.mark.parametrize(
    ("schema", "bounds"),
    [
        ({}, Bounds()),
        ({"minimum": 1, "exclusiveMinimum": 1}, Bounds(2, None)),
        ({"minimum": 1.5, "maximum": 3.5}, Bounds(2, 3)),
        ({"exclusiveMinimum": 1.5, "exclusiveMaximum": 3.5}, Bounds(2, 3)),
        ({"maximum": 5, "exclusiveMaximum": 7.0}, Bounds(None, 5)),
        ({"minimum": -(2**63), "maximum": 2**63 - 1}, Bounds(-(2**63), 2**63 - 1)),
    ],
)
def test_bounds_of_integers_become_whole_and_closed(
    schema: dict[str, object], bounds: Bounds
) -> None:
    assert read_bounds(schema, "$", whole=True) == bounds  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"minimum": "1"}, r"\$.minimum: must be a number"),
        ({"exclusiveMinimum": True}, r"\$.exclusiveMinimum: must be a number"),
        ({"maximum": 10**20}, r"\$.maximum: bounds must be nearer to 0 than 1e\+20"),
        ({"maximum": 0.5}, r"\$.maximum: 0.5 has a fraction; only whole bounds are supported"),
    ],
)
def test_bounds_that_cannot_be_kept_are_refused(schema: dict[str, object], problem: str) -> None:
    with pytest.raises(GrammarError, match=problem):
        read_bounds(schema, "$", whole=False)  # type: ignore[arg-type]
