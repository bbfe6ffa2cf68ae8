# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import math

import pytest
from modeld_llama_cpp.sampling import RANGES, Choice, decide

from modeld import Sampling
from modeld.errors import InvalidRequestError

VOCABULARY = 1000


def refusal(sampling: Sampling) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        decide(sampling, VOCABULARY)
    return caught.value


def test_without_a_wish_llama_cpps_defaults_hold() -> None:
    assert decide(Sampling(seed=7), VOCABULARY) == Choice(seed=7)


def test_a_wish_wins_over_the_default_and_zero_is_a_wish() -> None:
    choice = decide(Sampling(temperature=0.0, top_k=0, min_p=0.0, seed=0), VOCABULARY)
    assert choice == Choice(temperature=0.0, top_k=0, min_p=0.0, seed=0)


def test_every_number_of_a_request_has_a_range_and_a_default() -> None:
    others = {"dry_sequence_breakers", "logit_bias", "ignore_eos", "seed"}
    assert set(RANGES) | others == set(Sampling.__struct_fields__)
    assert set(RANGES) | others | {"banned"} == set(Choice.__struct_fields__)


@pytest.mark.parametrize("field", RANGES)
def test_both_ends_of_a_range_are_taken_and_nothing_beyond_them(field: str) -> None:
    lowest, highest, above = RANGES[field]
    for value in (highest, lowest + 0.001 if above else lowest):
        assert getattr(decide(Sampling(**{field: value}), VOCABULARY), field) == value
    for value in (highest + 1, lowest if above else lowest - 0.001, math.nan, math.inf, -math.inf):
        error = refusal(Sampling(**{field: value}))
        assert error.field == field
        assert error.message == f"{field} is {value}; it must be {RANGES[field]}"


def test_ranges_are_written_in_words() -> None:
    assert str(RANGES["repeat_penalty"]) == "from 0.01 to 10"
    assert str(RANGES["top_p"]) == "above 0 and at most 1"


@pytest.mark.parametrize("seed", [0, 1, -1, 2**32 - 1, 2**32, 2**63, -(2**63)])
def test_every_seed_is_one_that_llama_cpp_repeats(seed: int) -> None:
    assert 0 <= decide(Sampling(seed=seed), VOCABULARY).seed < 2**32 - 1


def test_without_a_seed_every_request_has_one_of_its_own() -> None:
    assert decide(Sampling(), VOCABULARY).seed != decide(Sampling(), VOCABULARY).seed


def test_banned_tokens_are_told_from_biased_ones() -> None:
    choice = decide(Sampling(logit_bias=((0, 1.5), (3, None), (999, -100.0))), VOCABULARY)
    assert choice.logit_bias == ((0, 1.5), (999, -100.0))
    assert choice.banned == {3}


@pytest.mark.parametrize(
    ("biases", "message"),
    [
        (((-1, 0.0),), "logit_bias names token -1; it must be from 0 to 999"),
        (((1000, None),), "logit_bias names token 1000; it must be from 0 to 999"),
        (((5, 100.5),), "logit_bias of token 5 is 100.5; it must be from -100.0 to 100.0"),
        (((5, math.nan),), "logit_bias of token 5 is nan"),
        (((5, -math.inf),), "logit_bias of token 5 is -inf; .* null for never"),
        (tuple((n, 0.0) for n in range(301)), "logit_bias has 301 tokens; at most 300"),
    ],
)
def test_a_wrong_bias_is_refused(
    biases: tuple[tuple[int, float | None], ...], message: str
) -> None:
    error = refusal(Sampling(logit_bias=biases))
    assert error.field == "logit_bias"
    with pytest.raises(InvalidRequestError, match=message):
        raise error


def test_as_many_biases_as_allowed_are_taken() -> None:
    biases = tuple((token, 1.0) for token in range(300))
    assert decide(Sampling(logit_bias=biases), VOCABULARY).logit_bias == biases


@pytest.mark.parametrize(
    ("breakers", "message"),
    [
        (("",), r"dry_sequence_breakers\[0\] has 0 bytes; it must have from 1 to 40"),
        (("a", "b" * 41), r"dry_sequence_breakers\[1\] has 41 bytes"),
        (("ä" * 21,), r"dry_sequence_breakers\[0\] has 42 bytes"),
        (("a\0b",), r"dry_sequence_breakers\[0\] has a NUL"),
        (("\ud800",), r"dry_sequence_breakers\[0\] has .* surrogate"),
        (("x",) * 17, "dry_sequence_breakers has 17 texts; at most 16"),
    ],
)
def test_a_wrong_breaker_is_refused(breakers: tuple[str, ...], message: str) -> None:
    error = refusal(Sampling(dry_sequence_breakers=breakers))
    assert error.field == "dry_sequence_breakers"
    with pytest.raises(InvalidRequestError, match=message):
        raise error


@pytest.mark.parametrize("breakers", [(), ("ä" * 20,), ("x",) * 16])
def test_other_breakers_take_the_place_of_the_default_ones(breakers: tuple[str, ...]) -> None:
    choice = decide(Sampling(dry_sequence_breakers=breakers), VOCABULARY)
    assert choice.dry_sequence_breakers == breakers


@pytest.mark.parametrize(
    ("sampling", "greedy", "penalises", "stops_repetition"),
    [
        (Sampling(), False, False, False),
        (Sampling(temperature=0.0), True, False, False),
        (Sampling(temperature=1e-7), True, False, False),
        (Sampling(temperature=1e-5), False, False, False),
        (Sampling(repeat_penalty=1.1), False, True, False),
        (Sampling(presence_penalty=-0.1), False, True, False),
        (Sampling(frequency_penalty=0.1), False, True, False),
        (Sampling(frequency_penalty=0.1, repeat_last_n=0), False, False, False),
        (Sampling(dry_multiplier=0.1), False, False, True),
        (Sampling(dry_multiplier=0.1, dry_penalty_last_n=0), False, False, False),
    ],
)
def test_what_changes_nothing_is_off(
    sampling: Sampling, greedy: bool, penalises: bool, stops_repetition: bool
) -> None:
    choice = decide(sampling, VOCABULARY)
    assert choice.greedy == greedy
    assert choice.penalises == penalises
    assert choice.stops_repetition == stops_repetition
