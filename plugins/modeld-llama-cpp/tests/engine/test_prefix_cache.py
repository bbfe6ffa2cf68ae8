# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from modeld_llama_cpp.engine.prefix_cache import (
    WORTH_SAVING,
    PrefixCache,
    SavedSequence,
    common_prefix,
)
from modeld_llama_cpp.engine.state import State

tokens = st.lists(st.integers(0, 2), max_size=80)


def plain_count(first: list[int], second: list[int]) -> int:
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


@given(tokens, tokens, tokens)
def test_the_common_prefix_is_what_counting_gives(
    start: list[int], first: list[int], second: list[int]
) -> None:
    one, other = start + first, start + second
    assert common_prefix(one, other) == plain_count(one, other)


def test_a_difference_is_found_at_every_index() -> None:
    whole = list(range(300))
    for index in range(300):
        changed = [*whole[:index], -1, *whole[index + 1 :]]
        assert common_prefix(whole, changed) == index
        assert common_prefix(whole, whole[:index]) == index
    assert common_prefix(whole, whole) == 300


def saved(*content: int, salt: str = "", times: int = 1) -> SavedSequence:
    return SavedSequence(tokens=tuple(content) * times, salt=salt, state=State.of(bytearray()))


def numbers(count: int, start: int = 0) -> tuple[int, ...]:
    return tuple(range(start, start + count))


def test_the_longest_match_under_the_same_salt_is_found() -> None:
    cache = PrefixCache(1000)
    entries = [
        saved(*numbers(20)),
        saved(*numbers(30), 99),
        saved(*numbers(40), salt="x"),
        saved(*numbers(40, 500)),
    ]
    for one in entries:
        cache.add(one)
    assert cache.longest(list(numbers(50)), "") == (entries[1], 30)
    assert cache.longest(list(numbers(50)), "x") == (entries[2], 40)
    assert cache.longest([1, 2, 3], "") == (None, 0)


def test_a_few_tokens_in_common_are_no_match() -> None:
    cache = PrefixCache(1000)
    cache.add(saved(1, times=50))
    assert cache.longest([1] * (WORTH_SAVING - 1) + [2] * 50, "") == (None, 0)
    assert cache.longest([1] * WORTH_SAVING + [2] * 50, "")[1] == WORTH_SAVING


def test_only_whole_ones_are_found_where_parts_are_of_no_use() -> None:
    cache = PrefixCache(1000, in_parts=False)
    short, branch = saved(*numbers(20)), saved(*numbers(30), 99)
    cache.add(short)
    cache.add(branch)
    assert cache.longest(list(numbers(50)), "") == (short, 20)


def test_the_least_recently_used_go_first() -> None:
    cache = PrefixCache(100)
    first, second, third = (saved(number, times=40) for number in (1, 2, 3))
    cache.add(first)
    cache.add(second)
    assert cache.longest([1] * 50, "")[0] is first
    cache.add(third)
    assert list(cache) == [third, first]
    assert cache.tokens == 80


def test_what_was_used_last_is_found_first_among_equals() -> None:
    cache = PrefixCache(1000)
    for tail in (1, 2, 3):
        cache.add(saved(*numbers(30), tail))
    assert cache.longest([*numbers(30), 9], "")[0].tokens[-1] == 3


def test_a_sequence_replaces_those_it_goes_on_from() -> None:
    cache = PrefixCache(1000)
    for one in (saved(*numbers(20)), saved(*numbers(25)), saved(*numbers(20), salt="x")):
        cache.add(one)
    longer = saved(*numbers(40))
    cache.add(longer)
    assert [len(one.tokens) for one in cache] == [40, 20]


def test_what_is_covered_too_short_or_too_long_is_not_wanted() -> None:
    cache = PrefixCache(100)
    assert not cache.wants([1] * (WORTH_SAVING - 1), "")
    assert not cache.wants([1] * 101, "")
    assert cache.wants([1] * 50, "")
    cache.add(saved(1, times=60))
    assert not cache.wants([1] * 50, "")
    assert cache.wants([1] * 50, "x")
    assert not PrefixCache(0).wants([1] * 50, "")


def test_their_number_is_limited_too() -> None:
    cache = PrefixCache(1000, 2)
    for number in range(4):
        cache.add(saved(number, times=20))
    assert [one.tokens[0] for one in cache] == [3, 2]


def test_what_comes_from_elsewhere_takes_the_room_that_is_left_in_its_order() -> None:
    cache = PrefixCache(100)
    own = saved(9, times=30)
    cache.add(own)
    others = [saved(1, times=40), saved(2, times=50), saved(3, times=20)]
    assert cache.extend(others) == 2
    assert [one.tokens[0] for one in cache] == [9, 1, 3]


def test_what_is_removed_is_saved_no_longer() -> None:
    cache = PrefixCache(100)
    gone, stays = saved(1, times=40), saved(2, times=40)
    cache.add(gone)
    cache.add(stays)
    cache.remove(gone)
    assert (list(cache), cache.tokens) == ([stays], 40)
