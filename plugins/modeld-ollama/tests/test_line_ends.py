# SPDX-License-Identifier: GPL-3.0-only
"""Streams are cut into the same lines by every reader, whatever stands in them."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from modeld_ollama.errors import error_line
from modeld_ollama.text.encoders import CHAT, GENERATE, OllamaStream, Shape, Writing

from modeld.responses import Token
from tests.support.http.streams import (
    ERRORS,
    TEXTS,
    call_of,
    generations,
    objects_in_lines,
    said,
    written,
)

SHAPES = pytest.mark.parametrize("shape", [CHAT, GENERATE], ids=["chat", "generate"])


def stream(shape: Shape, model: str) -> OllamaStream:
    failure = partial(error_line, own=frozenset())
    return OllamaStream(Writing(shape=shape, call=call_of(model), model=model, failure=failure))


@SHAPES
@given(model=TEXTS, generation=generations())
def test_a_stream_is_cut_into_its_lines(shape, model, generation):
    pieces, done = generation
    found = objects_in_lines(written(stream(shape, model), pieces, done))
    texts = [
        each["response"] if shape is GENERATE else each["message"]["content"] for each in found
    ]
    assert "".join(texts) == said(pieces, Token)
    assert {each["model"] for each in found} == {model}


@SHAPES
@given(model=TEXTS, error=ERRORS)
def test_an_error_is_one_line(shape, model, error):
    (found,) = objects_in_lines(stream(shape, model).failure(error, 503).decode())
    assert found == {"error": error.message}
