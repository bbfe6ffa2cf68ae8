# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections.abc import Sequence

import pytest

from modeld import Candidate
from modeld.builtin.lru import LeastRecentlyUsed


def candidate(model: str, held_bytes: int, last_used_s: float, loaded_s: float = 0.0) -> Candidate:
    return Candidate(
        model=model,
        held_bytes=held_bytes,
        last_used_s=last_used_s,
        loaded_s=loaded_s,
        load_seconds=1.0,
    )


def victims(candidates: Sequence[Candidate], needed_bytes: int) -> list[str]:
    return [victim.model for victim in LeastRecentlyUsed().choose(candidates, needed_bytes)]


def test_the_least_recently_used_model_goes_first() -> None:
    three = [candidate("b", 5, 20.0), candidate("a", 5, 10.0), candidate("c", 5, 30.0)]
    assert victims(three, 5) == ["a"]
    assert victims(three, 6) == ["a", "b"]
    assert victims(three, 15) == ["a", "b", "c"]


def test_nothing_goes_where_all_together_are_not_enough() -> None:
    assert victims([candidate("a", 5, 1.0), candidate("b", 5, 2.0)], 11) == []
    assert victims([], 1) == []


@pytest.mark.parametrize("needed_bytes", [0, -1])
def test_nothing_goes_where_nothing_is_needed(needed_bytes: int) -> None:
    assert victims([candidate("a", 5, 1.0)], needed_bytes) == []


def test_small_models_stay_where_a_later_large_one_is_enough() -> None:
    sizes = [candidate("small", 1, 1.0), candidate("medium", 2, 2.0), candidate("large", 10, 3.0)]
    assert victims(sizes, 10) == ["large"]
    assert victims(sizes, 11) == ["small", "large"]


def test_of_two_superfluous_models_the_one_used_longer_ago_still_goes() -> None:
    sizes = [candidate("old", 2, 1.0), candidate("young", 2, 2.0), candidate("large", 9, 3.0)]
    assert victims(sizes, 10) == ["old", "large"]


def test_a_model_that_holds_nothing_never_goes() -> None:
    assert victims([candidate("empty", 0, 1.0), candidate("a", 5, 2.0)], 5) == ["a"]


def test_the_order_is_the_same_each_time_for_equal_last_uses() -> None:
    same = [candidate("b", 5, 1.0, 3.0), candidate("c", 5, 1.0, 2.0), candidate("a", 5, 1.0, 3.0)]
    assert victims(same, 10) == ["c", "a"]
    assert victims(same[::-1], 10) == ["c", "a"]
