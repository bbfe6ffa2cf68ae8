# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import statistics
from itertools import accumulate

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modeld_bench.reports.distribution import Distribution, gaps, percentile

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TIMES = st.lists(st.floats(0, 1e6), min_size=1)
FIELDS = ("least", "p5", "p25", "p50", "p75", "p95", "p99", "most")


@unhurried
@given(TIMES.filter(lambda times: len(times) > 1))
def test_percentiles_are_those_of_the_standard_library(times):
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    for percent in (1, 5, 50, 95, 99):
        assert percentile(sorted(times), percent) == pytest.approx(cuts[percent - 1])


@unhurried
@given(TIMES)
def test_a_distribution_ascends_from_the_least_to_the_most(times):
    found = Distribution.of(times)
    values = [getattr(found, name) for name in FIELDS]
    assert values == sorted(values)
    assert (values[0], values[-1], found.count) == (min(times), max(times), len(times))


@unhurried
@given(TIMES, st.randoms())
def test_the_order_of_the_times_does_not_matter(times, random):
    shuffled = random.sample(times, len(times))
    assert Distribution.of(shuffled) == Distribution.of(times)


def test_without_times_there_is_no_distribution():
    assert Distribution.of([]) is None


def test_the_99th_percentile_of_1_to_101_is_100():
    assert percentile(range(1, 102), 99) == 100


@unhurried
@given(st.lists(st.integers(0, 10**6)), st.integers(0, 10**6))
def test_gaps_are_what_lies_between_arrivals(times, start):
    assert gaps(list(accumulate(times, initial=start))) == times


def test_one_piece_has_no_gap():
    assert gaps([1.0]) == gaps([]) == []
