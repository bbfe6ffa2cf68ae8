# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from modeld_llama_cpp.sampling.logits import Row
from modeld_llama_cpp.sampling.logprobs import LOWEST, token_logprobs
from sampler_rig import raw_noise

from modeld.responses import LikelyToken, TokenLogprobs


def piece(token: int) -> bytes:
    return b"<%d>" % token


def of(row: Row | list[float], token: int, count: int) -> TokenLogprobs:
    return token_logprobs(np.asarray(row, np.float32), token, count, piece)


def test_a_logprob_is_the_logarithm_of_the_softmax() -> None:
    logits = [math.log(p) + 3.0 for p in (0.5, 0.2, 0.3)]
    found = of(logits, 1, 3)
    assert (found.chosen.id, found.chosen.piece) == (1, b"<1>")
    assert found.chosen.logprob == pytest.approx(math.log(0.2), abs=1e-6)
    assert [token.id for token in found.top] == [0, 2, 1]
    assert [math.exp(token.logprob) for token in found.top] == pytest.approx([0.5, 0.3, 0.2])


def test_without_alternatives_there_is_only_the_chosen_token() -> None:
    assert of([0.0, 0.0], 0, 0) == TokenLogprobs(
        chosen=LikelyToken(id=0, piece=b"<0>", logprob=pytest.approx(-math.log(2)))
    )


@pytest.mark.parametrize("size", [5, 300, 5003])
def test_a_row_agrees_with_float64_arithmetic(size: int) -> None:
    row = raw_noise(7, size)
    exact = row.astype(np.float64) - np.log(np.exp(row.astype(np.float64)).sum())
    found = of(row, 3, 5)
    assert found.chosen.logprob == pytest.approx(exact[3], abs=1e-5)
    assert [token.id for token in found.top] == np.argsort(-exact)[:5].tolist()
    assert [token.logprob for token in found.top] == pytest.approx(
        (-np.sort(-exact)[:5]).tolist(), abs=1e-5
    )


def test_of_equal_tokens_the_lower_id_comes_first() -> None:
    row = np.zeros(5003, np.float32)
    row[[4000, 17, 900]] = 1.0
    assert [token.id for token in of(row, 0, 4).top] == [17, 900, 4000, 0]


def test_a_vocabulary_of_fewer_tokens_gives_fewer() -> None:
    assert len(of([1.0, 2.0], 0, 20).top) == 2


@pytest.mark.parametrize(
    "row",
    [
        [0.0, -math.inf],
        [-math.inf, -math.inf],
        [math.inf, 0.0],
        [math.nan, 1.0],
        [3e38, -3e38],
        [1000.0, -10000.0],
        [math.nan] * 5003,
    ],
)
def test_every_number_can_be_written_as_json(row: list[float]) -> None:
    found = of(row, 1, 2)
    for token in (found.chosen, *found.top):
        assert LOWEST <= token.logprob <= 0.0
    written = msgspec.json.decode(msgspec.json.encode(found.chosen.logprob))
    assert written == found.chosen.logprob


def test_a_certain_token_has_a_logprob_of_zero() -> None:
    assert of([100.0, -100.0], 0, 1).chosen.logprob == 0.0


def test_a_banned_token_has_the_lowest_logprob() -> None:
    assert of([0.0, -math.inf], 1, 2).top[1].logprob == LOWEST == -9999.0
