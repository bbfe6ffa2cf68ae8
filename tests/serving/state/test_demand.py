# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest

from modeld.serving.state.demand import HALF_LIFE_S, Demand


def test_without_requests_the_rate_is_zero() -> None:
    demand = Demand()
    assert (demand.requests, demand.rate_per_s(1e6)) == (0, 0.0)


def test_a_steady_rate_is_found_and_halves_with_each_half_life_of_silence() -> None:
    demand = Demand()
    for number in range(20_000):
        demand.note(1000.0 + number)

    last_s = 1000.0 + 19_999
    assert demand.requests == 20_000
    assert demand.rate_per_s(last_s) == pytest.approx(1.0, rel=0.01)
    assert demand.rate_per_s(last_s + HALF_LIFE_S) == pytest.approx(0.5, rel=0.01)


def test_after_years_of_silence_the_rate_is_zero() -> None:
    demand = Demand()
    demand.note(1000.0)
    assert demand.rate_per_s(1e9) == 0.0


def test_what_came_lately_counts_more_than_what_came_before() -> None:
    before, lately = Demand(), Demand()
    for demand, at_s in ((before, 1000.0), (lately, 1900.0)):
        for number in range(3):
            demand.note(at_s + number)
    assert lately.rate_per_s(2000.0) > before.rate_per_s(2000.0) > 0.0
