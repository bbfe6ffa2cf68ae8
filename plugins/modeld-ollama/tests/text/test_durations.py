# SPDX-License-Identifier: GPL-3.0-only
"""``keep_alive`` is read as Ollama reads it."""

from __future__ import annotations

import pytest
from modeld_ollama.text.durations import seconds_of
from ollama_calls import CHAT, EMBED, EMBEDDINGS, GENERATE, M, post

from modeld.responses import EmbedResponse, Usage
from tests.support.http.fake_service import FakeService


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("1h30m", 5400),
        ("-1", -1),
        ("300", 300),
        ("0", 0),
        ("-5m", -300),
        ("+1.5h", 5400),
        ("1.s", 1),
        (".5s", 0.5),
        ("100ms", 0.1),
        ("1h2m3s4ms5us6µs7μs8ns", 3723.004018008),
    ],
)
def test_a_duration_is_a_number_of_seconds(text: str, seconds: float) -> None:
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "m", "5x", "5 m", "1h-3m", "--5m", "\u0665m", "1e3s", "inf"])
def test_other_texts_are_none(text: str) -> None:
    assert seconds_of(text) is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        (0, 0),
        (0.5, 0.5),
        ("5m", 300),
        (-1, "forever"),
        ("-1", "forever"),
        ("-1ns", "forever"),
        (31_536_000, 31_536_000),
    ],
)
def test_a_request_says_how_long_its_model_stays(given: object, kept: object) -> None:
    service = FakeService(models=[M])
    post(service, CHAT, keep_alive=given)
    post(service, GENERATE, keep_alive=given)
    assert [each.keep_alive_s for each in service.requests] == [kept, kept]
    service.unary_response = EmbedResponse(vectors=((1.0,),), usage=Usage())
    post(service, EMBED, keep_alive=given)
    post(service, EMBEDDINGS, keep_alive=given)
    assert [each.keep_alive_s for each in service.unary_requests] == [kept, kept]
