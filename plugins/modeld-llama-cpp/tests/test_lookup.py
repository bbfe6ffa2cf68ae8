# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from modeld_llama_cpp.lookup import LENGTH, Lookup


def test_what_followed_the_same_tokens_before_is_guessed() -> None:
    assert list(Lookup().guess([1, 2, 3, 4, 5, 1, 2, 3], 2)) == [4, 5]


def test_the_latest_time_counts() -> None:
    assert list(Lookup().guess([1, 2, 3, 4, 1, 2, 3, 9, 1, 2, 3], 1)) == [9]


def test_without_a_like_there_is_no_guess() -> None:
    assert list(Lookup().guess([1, 2, 3, 4, 5], 4)) == []
    assert list(Lookup().guess([1], 4)) == []


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.integers(1, 8))
def test_a_growing_text_is_guessed_like_one_read_at_once(tokens: list[int], most: int) -> None:
    growing = Lookup()
    for end in range(1, len(tokens) + 1):
        guess = list(growing.guess(tokens[:end], most))
        assert guess == list(Lookup().guess(tokens[:end], most))
        assert len(guess) <= most
        if guess:
            text = tokens[:end]
            key = text[-LENGTH:]
            assert any(
                text[at : at + LENGTH] == key
                and text[at + LENGTH : at + LENGTH + len(guess)] == guess
                for at in range(end - LENGTH)
            )
