# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import random
from collections import deque

import pytest
from modeld_llama_cpp.sampling.penalty_window import PenaltyWindow


def test_at_first_there_is_only_what_is_always_there() -> None:
    assert PenaltyWindow(3).ids.size == 0
    assert sorted(PenaltyWindow(3, {7, 8}).ids) == [7, 8]


def test_a_token_stays_while_one_of_it_is_in_the_window() -> None:
    recent = PenaltyWindow(3)
    for token, there in ((5, [5]), (6, [5, 6]), (5, [5, 6]), (6, [5, 6]), (6, [5, 6]), (6, [6])):
        recent.append(token)
        assert sorted(recent.ids) == there


@pytest.mark.parametrize("always", [(), (0, 3, 99)])
@pytest.mark.parametrize("length", [1, 2, 9, 50])
def test_it_is_what_a_window_is_gone_over_for(length: int, always: tuple[int, ...]) -> None:
    numbers = random.Random(length)
    window, recent = deque[int](maxlen=length), PenaltyWindow(length, always)
    for most in (0, 1, 5, 20, 100):
        prompt = [numbers.randrange(12) for _ in range(most)]
        window.extend(prompt)
        recent.extend(prompt)
        for _ in range(200):
            token = numbers.randrange(12)
            window.append(token)
            recent.append(token)
            assert sorted(recent.ids) == sorted({*window, *always})
