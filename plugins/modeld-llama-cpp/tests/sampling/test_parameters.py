# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import math
from typing import Any

import pytest
from modeld_llama_cpp.sampling.llama_sampling import LlamaSampling
from modeld_llama_cpp.sampling.parameters import Choice, decide
from msgspec import inspect
from sampling_fields import sampling_of

from modeld import Sampling
from modeld.errors import InvalidRequestError
from modeld.sampling import COMMON, SamplingParameter, parameters_of

VOCABULARY = 1000


def refusal(sampling: Sampling) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        decide(sampling, VOCABULARY)
    return caught.value


def test_without_a_wish_llama_cpps_defaults_hold() -> None:
    assert decide(sampling_of(seed=7), VOCABULARY) == Choice(seed=7)


def test_a_wish_wins_over_the_default_and_zero_is_a_wish() -> None:
    choice = decide(sampling_of(temperature=0.0, top_k=0, min_p=0.0, seed=0), VOCABULARY)
    assert choice == Choice(temperature=0.0, top_k=0, min_p=0.0, seed=0)


def test_every_parameter_of_both_tables_has_a_default_or_a_meaning_of_its_own() -> None:
    known = {row.name for row in (*COMMON, *parameters_of(LlamaSampling))}
    assert known | {"banned"} == set(Choice.__struct_fields__)


def limits(row: SamplingParameter) -> tuple[list[float], list[float]]:
    """The ends of a range, and what lies beyond them."""
    kind = row.kind
    assert isinstance(kind, inspect.IntType | inspect.FloatType)
    assert kind.le is not None
    if kind.gt is not None:
        return [kind.le, kind.gt + 0.001], [kind.le + 1, kind.gt]
    assert kind.ge is not None
    return [kind.le, kind.ge], [kind.le + 1, kind.ge - 1]


NUMBERS = [
    row
    for row in (*COMMON, *parameters_of(LlamaSampling))
    if isinstance(row.kind, inspect.IntType | inspect.FloatType)
]


@pytest.mark.parametrize("row", NUMBERS, ids=lambda row: str(row.name))
def test_both_ends_of_a_range_are_taken_and_nothing_beyond_them(row: SamplingParameter) -> None:
    inside, outside = limits(row)
    for value in inside:
        assert getattr(decide(sampling_of(**{row.name: value}), VOCABULARY), row.name) == value
    for value in (*outside, math.nan, math.inf, -math.inf, "1", [1]):
        error = refusal(sampling_of(**{row.name: value}))
        assert error.field == row.name
        assert error.message.startswith(f"{row.name}: ")


def test_what_llama_cpp_alone_knows_is_refused_with_the_value_and_the_range() -> None:
    message = refusal(sampling_of(mirostat=3)).message
    assert message == "mirostat: expected a whole number from 0 to 2, got 3"


def test_what_llama_cpp_does_not_know_is_refused_by_name() -> None:
    error = refusal(Sampling(own={"mirostate": 1}))
    assert error.field == "mirostate"
    assert "no such sampling parameter; did you mean 'mirostat'?" in error.message


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 2])
def test_a_seed_is_handed_on_as_it_is(seed: int) -> None:
    assert decide(Sampling(seed=seed), VOCABULARY).seed == seed


def test_without_a_seed_every_request_has_one_of_its_own() -> None:
    assert decide(sampling_of(), VOCABULARY).seed != decide(sampling_of(), VOCABULARY).seed


def test_banned_tokens_are_told_from_biased_ones() -> None:
    choice = decide(sampling_of(logit_bias=((0, 1.5), (3, None), (999, -100.0))), VOCABULARY)
    assert choice.logit_bias == ((0, 1.5), (999, -100.0))
    assert choice.banned == {3}


@pytest.mark.parametrize(
    ("biases", "field", "message"),
    [
        (((1000, None),), "logit_bias", "logit_bias names token 1000; it must be from 0 to 999"),
        (((-1, 0.0),), "logit_bias[0][0]", "expected"),
        (((5, 100.5),), "logit_bias[0][1]", "<= 100"),
        (((5, math.nan),), "logit_bias[0][1]", "expected"),
        (tuple((n, 0.0) for n in range(301)), "logit_bias", "length <= 300"),
    ],
)
def test_a_wrong_bias_is_refused(biases: Any, field: str, message: str) -> None:
    error = refusal(Sampling(logit_bias=biases))
    assert error.field == field
    assert message in error.message


def test_as_many_biases_as_allowed_are_taken() -> None:
    biases = tuple((token, 1.0) for token in range(300))
    assert decide(sampling_of(logit_bias=biases), VOCABULARY).logit_bias == biases


@pytest.mark.parametrize(
    ("breakers", "message"),
    [
        (("",), r"dry_sequence_breakers\[0\]: expected"),
        (("a", "b" * 41), r"dry_sequence_breakers\[1\]: expected"),
        (("ä" * 21,), r"dry_sequence_breakers\[0\] has 42 bytes"),
        (("a\0b",), r"dry_sequence_breakers\[0\] has a NUL or half .* pair; leave it out$"),
        (("x",) * 17, "dry_sequence_breakers: expected a list of up to 16"),
    ],
)
def test_a_wrong_breaker_is_refused(breakers: tuple[str, ...], message: str) -> None:
    error = refusal(sampling_of(dry_sequence_breakers=breakers))
    assert str(error.field).startswith("dry_sequence_breakers")
    with pytest.raises(InvalidRequestError, match=message):
        raise error


@pytest.mark.parametrize("breakers", [(), ("ä" * 20,), ("x",) * 16])
def test_other_breakers_replace_the_default_ones(breakers: tuple[str, ...]) -> None:
    choice = decide(sampling_of(dry_sequence_breakers=breakers), VOCABULARY)
    assert choice.dry_sequence_breakers == breakers


@pytest.mark.parametrize(
    ("sampling", "greedy", "penalises", "stops_repetition"),
    [
        (sampling_of(), False, False, False),
        (sampling_of(temperature=0.0), True, False, False),
        (sampling_of(temperature=1e-7), True, False, False),
        (sampling_of(temperature=1e-5), False, False, False),
        (sampling_of(repeat_penalty=1.1), False, True, False),
        (sampling_of(presence_penalty=-0.1), False, True, False),
        (sampling_of(frequency_penalty=0.1), False, True, False),
        (sampling_of(frequency_penalty=0.1, repeat_last_n=0), False, False, False),
        (sampling_of(dry_multiplier=0.1), False, False, True),
        (sampling_of(dry_multiplier=0.1, dry_penalty_last_n=0), False, False, False),
    ],
)
def test_what_changes_nothing_is_off(
    sampling: Sampling, greedy: bool, penalises: bool, stops_repetition: bool
) -> None:
    choice = decide(sampling, VOCABULARY)
    assert choice.greedy == greedy
    assert choice.penalises == penalises
    assert choice.stops_repetition == stops_repetition
