# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from modeld_llama_cpp.engine.drafting import LENGTH, PromptLookup


def test_what_followed_the_same_tokens_before_is_drafted() -> None:
    assert list(PromptLookup().draft_tokens([1, 2, 3, 4, 5, 1, 2, 3], 2)) == [4, 5]


def test_the_latest_time_counts() -> None:
    assert list(PromptLookup().draft_tokens([1, 2, 3, 4, 1, 2, 3, 9, 1, 2, 3], 1)) == [9]


def test_without_a_like_there_is_no_draft() -> None:
    assert list(PromptLookup().draft_tokens([1, 2, 3, 4, 5], 4)) == []
    assert list(PromptLookup().draft_tokens([1], 4)) == []


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.integers(1, 8))
def test_a_growing_text_is_drafted_like_one_read_at_once(tokens: list[int], most: int) -> None:
    growing = PromptLookup()
    for end in range(1, len(tokens) + 1):
        draft_tokens = list(growing.draft_tokens(tokens[:end], most))
        assert draft_tokens == list(PromptLookup().draft_tokens(tokens[:end], most))
        assert len(draft_tokens) <= most
        if draft_tokens:
            text = tokens[:end]
            key = text[-LENGTH:]
            assert any(
                text[at : at + LENGTH] == key
                and text[at + LENGTH : at + LENGTH + len(draft_tokens)] == draft_tokens
                for at in range(end - LENGTH)
            )


def test_a_draft_ends_before_what_may_not_come() -> None:
    lookup = PromptLookup(lambda tokens: list(tokens).index(5))
    assert list(lookup.draft_tokens([1, 2, 3, 4, 5, 6, 1, 2, 3], 3)) == [4]
