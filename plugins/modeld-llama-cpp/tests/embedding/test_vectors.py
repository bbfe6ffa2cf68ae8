# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from modeld_llama_cpp.embedding.packer import Input, Part
from modeld_llama_cpp.embedding.vectors import Vectors, normalized
from numpy.typing import NDArray

from modeld import Usage
from modeld.errors import InternalError
from modeld.requests import EmbedRequest, RerankRequest
from modeld.responses import EmbedResponse, RerankResponse

EMBED = EmbedRequest(inputs=("a", "b"), normalize=False)
RANK = RerankRequest(query="a", documents=("b", "c"))
INPUTS = [[1, 2, 3, 4], [5, 6]]


def part(index: int, start: int, stop: int) -> Part:
    return Part(Input(9, index, INPUTS[index]), start, stop, 0)


def vector(*numbers: float) -> NDArray[np.float32]:
    return np.array(numbers, np.float32)


def test_the_vectors_are_in_the_order_of_the_inputs_whatever_comes_first() -> None:
    vectors = Vectors(EMBED, INPUTS, 2)
    assert not vectors.take(part(1, 0, 2), vector(3, 4))
    assert vectors.take(part(0, 0, 4), vector(1, 2))
    assert vectors.response() == EmbedResponse(
        vectors=((1.0, 2.0), (3.0, 4.0)), usage=Usage(prompt_tokens=6)
    )


@pytest.mark.parametrize(
    ("way", "expected"),
    [({"averages": True}, (4.0, 0.0)), ({"first": True}, (1.0, 0.0)), ({}, (5.0, 0.0))],
)
def test_the_parts_of_an_input_become_one_vector(
    way: dict[str, bool], expected: tuple[float, ...]
) -> None:
    vectors = Vectors(EmbedRequest(inputs=("a",), normalize=False), INPUTS[:1], 2, **way)
    assert not vectors.take(part(0, 0, 1), vector(1, 0))
    assert vectors.take(part(0, 1, 4), vector(5, 0))
    assert vectors.response().vectors == (expected,)


def test_the_score_is_the_first_number() -> None:
    vectors = Vectors(RANK, INPUTS, 2)
    vectors.take(part(0, 0, 4), vector(0.5, 9))
    vectors.take(part(1, 0, 2), vector(-2, 9))
    assert vectors.response() == RerankResponse(scores=(0.5, -2.0), usage=Usage(prompt_tokens=6))


@pytest.mark.parametrize(("asked", "name"), [(EMBED, "input"), (RANK, "documents")])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_a_failure(
    asked: EmbedRequest | RerankRequest, name: str, number: float
) -> None:
    vectors = Vectors(asked, INPUTS, 2)
    vectors.take(part(0, 0, 4), vector(1, 2))
    vectors.take(part(1, 0, 2), vector(1, number))
    with pytest.raises(InternalError, match=rf"NaN or infinity of {name}\[1\]"):
        vectors.response()


def test_vectors_are_normalised_where_the_request_says_so() -> None:
    vectors = Vectors(EmbedRequest(inputs=("a", "b")), INPUTS, 2)
    vectors.take(part(0, 0, 4), vector(3, 4))
    vectors.take(part(1, 0, 2), vector(0, 0))
    assert vectors.response().vectors == ((0.6, 0.8), (0.0, 0.0))


@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(1, 5)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_every_vector_has_length_1_and_one_of_zeros_none(rows: NDArray[np.float32]) -> None:
    lengths = np.linalg.norm(normalized(rows.astype(np.float64)), axis=1)
    assert lengths == pytest.approx(np.where(np.any(rows, axis=1), 1.0, 0.0))
