# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from modeld_llama_cpp.cells import Cells, Holding
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
    all_kept = KeptSequences(8, 1000)
    entries = [kept(1, 1, 2), kept(2, 1, 2, 3, 9), kept(3, 1, 2, 3, 4, salt="x"), kept(4, 7)]
    for one in entries:
        all_kept.add(one)
    assert all_kept.longest([1, 2, 3, 4], "") == (entries[1], 3)
    assert all_kept.longest([1, 2, 3, 4], "x") == (entries[2], 4)
    assert all_kept.longest([5], "") == (None, 0)


def test_what_was_used_lately_is_not_the_oldest() -> None:
    all_kept = KeptSequences(8, 1000)
    first, second = kept(1, 1), kept(2, 2)
    all_kept.add(first)
    all_kept.add(second)
    assert all_kept.oldest() is first
    all_kept.used(first)
    assert all_kept.oldest() is second
    all_kept.take(second)
    assert list(all_kept) == [first]


def keep(cells: Cells, seq_id: int, tokens: list[int]) -> Kept:
    holding = Holding()
    cells.extend(holding, len(tokens))
    return Kept(tokens, "", holding, seq_id)


def test_only_what_is_in_common_as_a_whole_counts_where_that_is_asked_for() -> None:
    all_kept = KeptSequences(8, 1000)
    short, branch = kept(1, 1, 2), kept(2, 1, 2, 3, 9)
    all_kept.add(short)
    all_kept.add(branch)
    assert all_kept.longest([1, 2, 3, 4], "", whole=True) == (short, 2)


def test_number_and_cells_are_limited() -> None:
    cells = Cells(1000)
    all_kept = KeptSequences(2, 100)
    all_kept.add(keep(cells, 1, [1] * 60))
    assert not all_kept.are_too_many
    assert all_kept.have_room(40)
    assert not all_kept.have_room(41)
    all_kept.add(keep(cells, 2, [2] * 60))
    assert all_kept.are_too_many
    all_kept.drop(all_kept.oldest())
    assert not all_kept.are_too_many
    for seq_id in (3, 4):
        all_kept.add(keep(cells, seq_id, [seq_id]))
    assert all_kept.are_too_many


def missed(all_kept: KeptSequences, requests: int, running: int) -> None:
    for number in range(requests):
        all_kept.learn([number] * 50, "", None, 0, running)


def test_nothing_is_kept_where_many_run_and_nobody_comes_back() -> None:
    all_kept = KeptSequences(8, 4000)
    all_kept.add(keep(Cells(100), 1, [7] * 40))
    missed(all_kept, 33, 15)
    assert all_kept.are_of_use
    assert not all_kept.are_too_many
    missed(all_kept, 2, 15)
    assert not all_kept.are_of_use
    assert all_kept.are_too_many
    all_kept.drop(all_kept.oldest())
    assert not all_kept.are_too_many


def test_one_at_a_time_keeps_what_there_is() -> None:
    all_kept = KeptSequences(8, 4000)
    missed(all_kept, 5000, 0)
    assert all_kept.are_of_use


def test_a_request_that_comes_back_brings_keeping_back() -> None:
    all_kept = KeptSequences(8, 4000)
    missed(all_kept, 40, 15)
    all_kept.learn([7] * 50, "", keep(Cells(100), 1, [7] * 40), 40, 15)
    assert all_kept.are_of_use


def test_a_request_for_what_was_dropped_counts_as_coming_back() -> None:
    all_kept = KeptSequences(8, 4000)
    missed(all_kept, 40, 15)
    dropped = keep(Cells(100), 1, [7] * 40)
    all_kept.add(dropped)
    all_kept.drop(dropped)
    all_kept.learn([7] * 50, "other salt", None, 0, 15)
    assert not all_kept.are_of_use
    all_kept.learn([7] * 50, "", None, 0, 15)
    assert all_kept.are_of_use


def test_what_several_have_in_common_speaks_for_none_of_them() -> None:
    all_kept = KeptSequences(8, 4000)
    same = [keep(Cells(100), seq_id, [7] * 40 + [seq_id]) for seq_id in (1, 2)]
    for one in same:
        all_kept.add(one)
    for _ in range(40):
        all_kept.learn([7] * 40 + [3], "", same[0], 40, 15)
    assert not all_kept.are_of_use
