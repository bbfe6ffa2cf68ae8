# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modeld.errors import InvalidRequestError
from modeld.httpapi.bodies import parse
from modeld.httpapi.infer_request import InferRequest
from modeld.httpapi.sampling_fields import SamplingFields
from modeld.values import Sampling
from tests.httpapi.fake_service import FakeService, infer

SMALLEST = 5e-324

# Every number, its lowest and its highest value, and some that are refused.
NUMBERS: list[tuple[str, float, float, list[Any]]] = [
    ("temperature", 0, 5, [-0.1, 5.1, 1e300]),
    ("dynatemp_range", 0, 5, [-0.1, 5.1]),
    ("dynatemp_exponent", SMALLEST, 10, [0, -1, 10.1]),
    ("top_p", SMALLEST, 1, [0, -1, 1.01]),
    ("top_k", 0, 2**31 - 1, [-1, 2**31, 0.5]),
    ("min_p", 0, 1, [-0.1, 1.1]),
    ("typical_p", SMALLEST, 1, [0, -1, 1.01]),
    ("top_n_sigma", 0, 100, [-1, 100.1]),
    ("xtc_probability", 0, 1, [-0.1, 1.1]),
    ("xtc_threshold", 0, 1, [-0.1, 1.1]),
    ("mirostat", 0, 2, [-1, 3, 1.5]),
    ("mirostat_tau", 0, 100, [-0.1, 100.1]),
    ("mirostat_eta", 0, 1, [-0.1, 1.1]),
    ("repeat_penalty", 0.01, 10, [0, 0.009, 10.5]),
    ("repeat_last_n", -1, 2**20, [-2, 2**20 + 1, 1.5]),
    ("presence_penalty", -2, 2, [-2.1, 2.1]),
    ("frequency_penalty", -2, 2, [-2.1, 2.1]),
    ("dry_multiplier", 0, 10, [-0.1, 10.1]),
    ("dry_base", 1, 10, [0.9, 10.1]),
    ("dry_allowed_length", 1, 2**20, [0, 2**20 + 1, 2.5]),
    ("dry_penalty_last_n", -1, 2**20, [-2, 2**20 + 1]),
    ("seed", 0, 2**32 - 2, [-2, 2**32 - 1, 2**70]),
]
NO_NUMBER = [math.inf, -math.inf, math.nan, 2**63, 10**400, True, "5", [1], {}]


def meant(**fields: object) -> Sampling:
    request = parse(InferRequest, {"prompt": "hi", **fields}).to_generate_request("id")
    return request.sampling


def test_every_way_of_choosing_has_a_field_of_its_name() -> None:
    assert tuple(SamplingFields.model_fields) == Sampling.__struct_fields__
    others = {"dry_sequence_breakers", "logit_bias", "ignore_eos"}
    assert {name for name, *_ in NUMBERS} == set(Sampling.__struct_fields__) - others


def test_what_is_left_out_or_null_is_the_engines_choice() -> None:
    assert meant() == meant(**dict.fromkeys(SamplingFields.model_fields)) == Sampling()


@pytest.mark.parametrize(("field", "lowest", "highest", "outside"), NUMBERS)
def test_a_number_is_taken_at_its_limits_and_refused_beyond(
    field: str, lowest: float, highest: float, outside: list[Any]
) -> None:
    for inside in (lowest, highest):
        assert getattr(meant(**{field: inside}), field) == inside
    for value in (*outside, *NO_NUMBER):
        with pytest.raises(InvalidRequestError) as refusal:
            meant(**{field: value})
        assert refusal.value.field == field


@given(
    st.sampled_from([name for name, *_ in NUMBERS] + ["max_tokens", "logprobs", "timeout_s"]),
    st.integers() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_json_number_in_any_numeric_field_is_taken_or_refused(
    field: str, number: float
) -> None:
    answer = infer(FakeService(), **{field: number})
    assert answer.status_code in {200, 400}
    if answer.status_code == 400:
        assert answer.json()["field"] == field


def test_biases_go_by_token_id_and_false_or_null_bans_a_token() -> None:
    found = meant(logit_bias={"0": 1, "15043": -2.5, "2": False, "3": None, "999999999": 100})
    assert found.logit_bias == (
        (0, 1.0),
        (15043, -2.5),
        (2, None),
        (3, None),
        (999_999_999, 100.0),
    )


@pytest.mark.parametrize(
    "token", ["", "-1", "+1", "01", "1.0", "1e3", " 1", "1\n", "a", "٣", "9" * 10]
)
def test_a_bias_for_what_is_no_token_id_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequestError, match="logit_bias") as refusal:
        meant(logit_bias={token: 1})
    assert refusal.value.field == f"logit_bias.{token}"


@pytest.mark.parametrize("bias", [100.1, -100.1, math.inf, math.nan, True, "1", [1]])
def test_a_bias_is_a_number_from_minus_100_to_100(bias: object) -> None:
    assert meant(logit_bias={"1": -100}).logit_bias == ((1, -100.0),)
    with pytest.raises(InvalidRequestError) as refusal:
        meant(logit_bias={"1": bias})
    assert refusal.value.field == "logit_bias.1"


def test_at_most_300_tokens_have_a_bias() -> None:
    assert len(meant(logit_bias={str(token): 1 for token in range(300)}).logit_bias) == 300
    with pytest.raises(InvalidRequestError, match=r"logit_bias: .* at most 300"):
        meant(logit_bias={str(token): 1 for token in range(301)})


def test_a_seed_of_minus_1_is_random_as_none_is() -> None:
    assert meant(seed=-1).seed is None


def test_breakers_are_at_most_16_texts_of_40_bytes() -> None:
    assert meant(dry_sequence_breakers=[]).dry_sequence_breakers == ()
    longest = [*["x" * 40] * 15, "é" * 20]
    assert meant(dry_sequence_breakers=longest).dry_sequence_breakers == tuple(longest)
    for wrong in ([*longest, "y"], ["x" * 41], ["é" * 21], [""], "x", [1]):
        with pytest.raises(InvalidRequestError, match="dry_sequence_breakers"):
            meant(dry_sequence_breakers=wrong)


@pytest.mark.parametrize("value", [0, 1, "true", []])
def test_only_a_boolean_says_whether_the_end_is_ignored(value: object) -> None:
    assert meant(ignore_eos=True).ignore_eos is True
    assert meant(ignore_eos=False).ignore_eos is False
    with pytest.raises(InvalidRequestError, match="ignore_eos"):
        meant(ignore_eos=value)


def test_the_fields_can_be_checked_without_a_request() -> None:
    assert SamplingFields(top_k=3).to_sampling() == Sampling(top_k=3)
    with pytest.raises(ValidationError):
        SamplingFields.model_validate({"prompt": "hi"})
