# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modeld_llama_cpp.chat.hidden_texts import Hider, Rendered, SpecialTexts
from modeld_llama_cpp.chat.longest_match import longest_of

texts = st.text(alphabet="ab.|", max_size=4)


@given(wanted=st.sets(texts, max_size=6), text=st.text(alphabet="ab.|", max_size=12))
def test_the_longest_text_is_matched(wanted: set[str], text: str) -> None:
    pattern = longest_of(wanted)
    for at in range(len(text) + 1):
        found = pattern.match(text, at)
        longest = max((each for each in wanted if text.startswith(each, at)), key=len, default="")
        assert (found[0] if found else "") == longest


UNUSED = SpecialTexts(control={f"<unused{number}>": number for number in range(6000)})


@pytest.mark.parametrize("text", ["<" * (1 << 20), "<unused" * (1 << 17), ">" * (1 << 20)])
def test_a_long_text_of_what_special_tokens_begin_with_takes_no_long_time(text: str) -> None:
    hider = Hider(UNUSED.of_template(""))
    begun = time.process_time()
    hidden = hider.hide(text)
    assert time.process_time() - begun < 2  # it took minutes where each token was looked at
    assert Rendered(hidden, hider.hidden).shown == text
