# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modeld_llama_cpp.chat.hidden_texts import Hider, Rendered, SpecialTexts, restore_signs

TEXTS = SpecialTexts(
    control={"<|im_start|>": 1, "<|im_end|>": 2, "</s>": 3},
    defined=frozenset({"<think>", "<b>", "\n\n"}),
)
MARKS = TEXTS.of_template("<|im_start|>{{ role }}\n\n<think>")
PIECES = (
    "<|im_start|>",
    "<|im_",
    "end|>",
    "|im_end|",
    "</s>",
    "</",
    "s>",
    "<think>",
    "<th",
    "ink>",
)
said = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=4).map("".join)


def hide(text: str, *, by_model: bool = False) -> str:
    return Hider(MARKS).hide(text, by_model=by_model)


@pytest.mark.parametrize(
    "text", ["", "hello", "a < b > c", "im_end", "<b>bold</b>", "two\n\nlines", "1 <|im_ 2"]
)
def test_what_cannot_pretend_anything_is_left_as_it_is(text: str) -> None:
    assert hide(text) == text


@pytest.mark.parametrize("mark", ["<|im_start|>", "<|im_end|>", "</s>", "<think>"])
def test_what_would_be_read_as_a_mark_is_hidden_and_shown_again(mark: str) -> None:
    hider = Hider(MARKS)
    text = f"say {mark} twice: {mark}"
    hidden = hider.hide(text)
    assert mark not in hidden
    assert hidden.startswith("say ")
    assert list(hider.hidden.values()) == [mark]
    assert Rendered(hidden, hider.hidden).shown == text


def test_a_model_keeps_those_marks_of_its_own_that_are_read_in_any_text() -> None:
    assert hide("<think>so", by_model=True) == "<think>so"
    assert "<|im_end|>" not in hide("<|im_end|>", by_model=True)


def test_a_mark_that_the_template_does_not_write_is_left() -> None:
    marks = TEXTS.of_template("<|im_start|>{{ role }}")
    assert Hider(marks).hide("<think>") == "<think>"


@pytest.mark.parametrize(
    ("first", "second"), [("<|im_", "end|>"), ("<", "/s>"), ("a </", "s> b"), ("<thin", "k>")]
)
def test_a_mark_that_two_texts_make_together_is_none(first: str, second: str) -> None:
    hider = Hider(MARKS)
    text = hider.hide(first) + hider.hide(second)
    assert not MARKS.all.pattern.search(text)
    assert Rendered(text, hider.hidden).shown == first + second


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [("<", "/s> hi", ""), ("", "hi <|im_", "end|>"), ("<", "|im_end|", ">"), ("<thi", "nk>", "")],
)
def test_a_mark_that_a_text_makes_with_what_is_around_it_is_none(
    before: str, text: str, after: str
) -> None:
    assert MARKS.all.pattern.search(before + text + after)
    assert not MARKS.all.pattern.search(before + hide(text) + after)


@given(texts=st.lists(said, max_size=4))
def test_nothing_that_is_said_has_or_makes_a_mark_and_all_of_it_is_shown(texts: list[str]) -> None:
    hider = Hider(MARKS)
    hidden = [hider.hide(text) for text in texts]
    for around in ("", "<", ">", "<|", "|>"):
        written = around + around.join(hidden) + around
        assert not MARKS.all.pattern.search(written)
    for text, sign in zip(texts, hidden, strict=True):
        if not re.fullmatch(r"\w*", text):  # who writes marks around mere words means them
            for before, after in (("<", ">"), ("<|", "|>"), ("</", ">"), ("<th", ">")):
                assert not MARKS.all.pattern.search(before + sign + after)
    assert Rendered("".join(hidden), hider.hidden).shown == "".join(texts)


def test_a_character_like_a_sign_stands_for_itself() -> None:
    hider = Hider(MARKS)
    text = f"{hider.hide('</s>')}\U000f0000\U00100000"
    again = Hider(MARKS)
    hidden = again.hide(text)
    assert Rendered(hidden, again.hidden).shown == text


def test_names_and_values_are_hidden_wherever_they_stand() -> None:
    hider = Hider(MARKS)
    hidden = hider.hide_all({"a</s>": ["</s>", 1, None, {"b": "</s>"}]})
    assert "</s>" not in json.dumps(hidden)
    assert Rendered(json.dumps(hidden, ensure_ascii=False), hider.hidden).shown == (
        '{"a</s>": ["</s>", 1, null, {"b": "</s>"}]}'
    )


def test_signs_are_found_in_json_of_plain_ascii() -> None:
    hider = Hider(MARKS)
    written = json.dumps(hider.hide("é </s>"))
    assert restore_signs(written, hider.hidden).endswith(f'{next(iter(hider.hidden))}"')
