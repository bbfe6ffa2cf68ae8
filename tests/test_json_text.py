# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.json_text import json_line, json_long_text, json_text

TEXTS = st.text() | st.text('a\u0085\u2028\u2029\n\r\\"é')


@given(TEXTS)
def test_a_text_is_one_line_that_says_the_same(text: str) -> None:
    for line in (json_text(text), bytes(json_long_text(text)), json_line(text)):
        assert json.loads(line) == text
        assert len(line.decode().splitlines()) == 1


@given(st.recursive(TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)))
def test_a_document_is_one_line_that_says_the_same(document: object) -> None:
    line = json_line(document)
    assert json.loads(line) == document
    assert len(line.decode().splitlines()) == 1


@pytest.mark.parametrize("characters", [(1 << 16) - 1, 1 << 16, (1 << 16) + 1, 200_000])
def test_a_long_text_is_the_same_in_pieces(characters: int) -> None:
    text = ("é\u2028" * characters)[:characters]
    assert bytes(json_long_text(text)) == json_text(text)
