# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

import pytest

from modeld import Candidate, EvictionPolicy
from modeld.builtin.lfu import LeastFrequentlyUsed
from modeld.builtin.lru import LeastRecentlyUsed
from modeld.errors import ConfigurationError
from modeld.simulation.comparison import compare
from modeld.simulation.driver import Rules
from modeld.simulation.generated import GIB, generated
from modeld.simulation.plot import drawn

WORK = generated("zipf", models=6, requests=400, rate_per_s=0.2, seed=1)


class Greedy(EvictionPolicy):
    """Chooses too little."""

    name = "greedy & wrong"

    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        return ()


def test_each_policy_is_given_the_same_requests_with_each_budget() -> None:
    policies = [LeastRecentlyUsed(), LeastFrequentlyUsed()]
    found = list(compare(WORK, policies, [30 * GIB, 60 * GIB], Rules()))
    assert [(each.policy, each.budget_bytes // GIB) for each in found] == [
        ("lru", 30),
        ("lfu", 30),
        ("lru", 60),
        ("lfu", 60),
    ]
    assert {each.requests for each in found} == {400}
    assert list(compare(WORK, policies, [30 * GIB, 60 * GIB], Rules())) == found


def test_a_policy_that_is_wrong_has_no_figures() -> None:
    with pytest.raises(ConfigurationError, match="chose too little"):
        list(compare(WORK, [Greedy()], [30 * GIB], Rules()))


def test_a_picture_has_a_curve_for_each_policy_and_loads_nothing() -> None:
    found = list(compare(WORK, [LeastRecentlyUsed(), LeastFrequentlyUsed()], [60 * GIB], Rules()))
    text = drawn("zipf <&>", found)
    picture = ElementTree.fromstring(text)
    curves = [each for each in picture.iter() if each.get("class") == "curve"]
    assert len(curves) == 2 * 4
    assert picture.get("aria-label") == "zipf <&>"
    assert not re.search(r"href|@import|<script|<image", text)
    for each in picture.iter("{http://www.w3.org/2000/svg}circle"):
        assert 60 <= float(each.get("cy", "")) <= 250
