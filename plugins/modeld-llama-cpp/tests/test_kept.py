# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from modeld_llama_cpp.cells import Holding
from modeld_llama_cpp.kept import Kept, KeptSequences, common_prefix

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


def test_a_difference_is_found_at_every_place() -> None:
    whole = list(range(300))
    for place in range(300):
        changed = [*whole[:place], -1, *whole[place + 1 :]]
        assert common_prefix(whole, changed) == place
        assert common_prefix(whole, whole[:place]) == place
    assert common_prefix(whole, whole) == 300


def kept(seq_id: int, *content: int, salt: str = "") -> Kept:
    return Kept(list(content), salt, Holding(), seq_id)


def test_the_longest_match_under_the_same_salt_is_found() -> None:
    all_kept = KeptSequences()
    entries = [kept(1, 1, 2), kept(2, 1, 2, 3, 9), kept(3, 1, 2, 3, 4, salt="x"), kept(4, 7)]
    for one in entries:
        all_kept.add(one)
    assert all_kept.longest([1, 2, 3, 4], "") == (entries[1], 3)
    assert all_kept.longest([1, 2, 3, 4], "x") == (entries[2], 4)
    assert all_kept.longest([5], "") == (None, 0)


def test_what_was_used_lately_is_not_the_oldest() -> None:
    all_kept = KeptSequences()
    first, second = kept(1, 1), kept(2, 2)
    all_kept.add(first)
    all_kept.add(second)
    assert all_kept.oldest() is first
    all_kept.used(first)
    assert all_kept.oldest() is second
    all_kept.remove(second)
    assert list(all_kept) == [first]
