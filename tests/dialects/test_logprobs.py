# SPDX-License-Identifier: GPL-3.0-only
"""Probabilities have a form that JSON can say."""

from __future__ import annotations

import math

import pytest

from modeld.dialects.logprobs import LEAST_LOGPROB, finite, piece_text, token_logprobs
from modeld.responses import LikelyToken, TokenLogprobs


@pytest.mark.parametrize(
    ("logprob", "said"),
    [
        (-1.5, -1.5),
        (0.0, 0.0),
        (1e-9, 0.0),
        (-math.inf, LEAST_LOGPROB),
        (math.nan, LEAST_LOGPROB),
        (-1e6, LEAST_LOGPROB),
    ],
)
def test_a_logarithm_is_one_of_a_probability(logprob: float, said: float) -> None:
    assert finite(logprob) == said


def test_what_is_no_whole_character_is_shown_as_such() -> None:
    assert [piece_text(piece) for piece in (b"\xc3\xa9", b"\xc3", b"")] == ["é", "\ufffd", ""]


def test_a_token_has_the_likeliest_ones_at_its_place() -> None:
    a, b = (LikelyToken(id=i, piece=p, logprob=-1.0) for i, p in enumerate((b"a", b"b")))
    written = [{"token": t, "logprob": -1.0, "bytes": [ord(t)]} for t in "ab"]
    found = token_logprobs([TokenLogprobs(chosen=a, top=(b, a)), TokenLogprobs(chosen=b)])
    assert found == [
        {**written[0], "top_logprobs": [written[1], written[0]]},
        {**written[1], "top_logprobs": []},
    ]
