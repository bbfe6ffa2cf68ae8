# SPDX-License-Identifier: GPL-3.0-only
"""Streams are cut into the same events by every reader, whatever stands in them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from modeld_anthropic.messages.stream import MessageStream

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


@given(model=TEXTS, shows=st.booleans(), generation=generations())
def test_a_stream_is_cut_into_its_events(model, shows, generation):
    pieces, done = generation
    encoder = MessageStream(call_of(model), shows_thinking=shows)
    found = objects_in_events(written(encoder, pieces, done))
    deltas = [each["delta"] for each in found if each["type"] == "content_block_delta"]
    assert "".join(delta.get("text", "") for delta in deltas) == said(pieces, Token)
    assert found[0]["message"]["model"] == model
    assert found[-1] == {"type": "message_stop"}


@given(model=TEXTS, error=ERRORS)
def test_an_error_is_one_event(model, error):
    encoder = MessageStream(call_of(model), shows_thinking=True)
    (found,) = objects_in_events(encoder.failure(error, 503).decode())
    assert found["error"]["message"] == error.message
