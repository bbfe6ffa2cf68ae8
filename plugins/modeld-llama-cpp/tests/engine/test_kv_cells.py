# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from modeld_llama_cpp.engine.kv_cells import Cells, Holding, together

SIZE = 200


def filled(cells: Cells, count: int) -> Holding:
    holding = Holding()
    cells.extend(holding, count)
    return holding


def test_what_is_shared_is_counted_once() -> None:
    cells = Cells(SIZE)
    first = filled(cells, 30)
    second = cells.share(first, 20)
    cells.extend(second, 5)
    assert cells.used == 35
    assert together([first, second]) == 35
    assert (first.length, second.length) == (30, 25)


def test_shared_cells_stay_until_the_last_one_gives_them_back() -> None:
    cells = Cells(SIZE)
    first = filled(cells, 30)
    second = cells.share(first, 20)
    cells.give_back(first)
    assert cells.used == 20
    cells.give_back(second)
    assert cells.used == 0


def test_a_holding_grows_without_the_others_that_share_its_beginning() -> None:
    cells = Cells(SIZE)
    first = filled(cells, 10)
    second = cells.share(first, 10)
    cells.extend(first, 1)
    cells.extend(second, 2)
    cells.give_back(first)
    assert (second.length, cells.used) == (12, 12)


def test_sharing_nothing_holds_nothing() -> None:
    cells = Cells(SIZE)
    nothing = cells.share(filled(cells, 10), 0)
    cells.give_back(nothing)
    assert cells.used == 10


def test_more_cells_than_there_are_cannot_be_taken() -> None:
    cells = Cells(10)
    first = filled(cells, 8)
    with pytest.raises(AssertionError, match="3 cells of 2"):
        cells.extend(first, 3)
    with pytest.raises(AssertionError, match="9 cells of 8"):
        cells.share(first, 9)


class Forest(RuleBasedStateMachine):
    """Any order of taking, sharing and giving back, against sets of numbered cells."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = Cells(SIZE)
        self.numbers = itertools.count()
        self.held: list[tuple[Holding, list[int]]] = [(Holding(), [])]

    @rule(data=st.data(), count=st.integers(0, 40))
    def extend(self, data: st.DataObject, count: int) -> None:
        holding, numbers = data.draw(st.sampled_from(self.held))
        count = min(count, self.cells.free)
        self.cells.extend(holding, count)
        numbers += itertools.islice(self.numbers, count)

    @precondition(lambda self: len(self.held) < 12)
    @rule(data=st.data(), part=st.floats(0, 1))
    def share(self, data: st.DataObject, part: float) -> None:
        source, numbers = data.draw(st.sampled_from(self.held))
        count = round(part * source.length)
        self.held.append((self.cells.share(source, count), numbers[:count]))

    @precondition(lambda self: len(self.held) > 1)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.held) - 1))
        self.cells.give_back(self.held.pop(index)[0])

    @invariant()
    def the_count_is_that_of_the_sets(self) -> None:
        everything = {number for _, numbers in self.held for number in numbers}
        assert self.cells.used == len(everything) == together(one for one, _ in self.held)
        for holding, numbers in self.held:
            assert holding.length == len(numbers) == together([holding])
        half = self.held[::2]
        assert together(one for one, _ in half) == len({n for _, numbers in half for n in numbers})


TestForest = Forest.TestCase
TestForest.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
