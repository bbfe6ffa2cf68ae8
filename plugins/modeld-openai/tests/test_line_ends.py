# SPDX-License-Identifier: GPL-3.0-only
"""Streams are cut into the same events by every reader, whatever stands in them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from modeld_openai.chat.encoder import ChatStream
from modeld_openai.completions.encoder import CompletionStream
from modeld_openai.responses.reading.body import ResponsesBody
from modeld_openai.responses.writing.encoder import ResponseStream
from modeld_openai.responses.writing.frame import Frame

from modeld.dialects import StreamEncoder
from modeld.responses import Token
from tests.support.http.streams import (
    ERRORS,
    TEXTS,
    call_of,
    generations,
    objects_in_events,
    said,
    written,
)


def chat(text: str) -> StreamEncoder:
    return ChatStream(call_of(text), 1, wants_usage=True)


def completion(text: str) -> StreamEncoder:
    return CompletionStream(call_of(text), [text], 1, wants_usage=True)


def response(text: str) -> StreamEncoder:
    body = ResponsesBody.model_validate({"input": "hi", "instructions": text, "user": text})
    return ResponseStream(Frame(body, call_of(text)), None)


ENCODERS = pytest.mark.parametrize("make", [chat, completion, response])


@ENCODERS
@given(text=TEXTS, generation=generations())
def test_a_stream_is_cut_into_its_events(make: Callable[[str], StreamEncoder], text, generation):
    pieces, done = generation
    found = objects_in_events(written(make(text), pieces, done))
    if make is chat:
        deltas = [choice["delta"] for each in found[:-1] for choice in each["choices"]]
        assert "".join(delta.get("content", "") for delta in deltas) == said(pieces, Token)
    assert all(each["model"] == text for each in found[:-1] if "model" in each)


@ENCODERS
@given(text=TEXTS, error=ERRORS)
def test_an_error_is_cut_into_its_events(make, text, error):
    found = objects_in_events(make(text).failure(error, 503).decode())
    assert error.message in {found[0].get("message"), found[0].get("error", {}).get("message")}
