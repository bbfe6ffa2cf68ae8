# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta
from pydantic import ValidationError

from modeld import BackendSampling
from modeld.dialects.sampling_fields import SamplingFields, with_parameters
from modeld.errors import InvalidRequestError
from modeld.httpapi.exchange.reading.json_body import parse
from modeld.httpapi.routes.inference.infer_body import InferBody
from modeld.requests import Sampling
from modeld.sampling import parameters_of
from tests.support.http.fake_service import FakeService, infer
from tests.support.sampling_cases import NUMBERS

NO_NUMBER = [math.inf, -math.inf, math.nan, 2**63, 10**400, True, "5", [1], {}]


class Wit(BackendSampling, frozen=True, kw_only=True):
    """Parameters of every type that a backend may declare."""

    wit: Annotated[Annotated[float, Meta(gt=0, lt=9)] | None, Meta(description="how witty")] = None
    puns: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="most puns")] = None
    dry: Annotated[bool | None, Meta(description="without a smile")] = None
    tone: Annotated[Literal["kind", "sharp"] | None, Meta(description="the tone")] = None
    motto: Annotated[
        Annotated[str, Meta(min_length=1, max_length=5, pattern="^[a-z]*$")] | None,
        Meta(description="what to live by"),
    ] = None
    taboos: Annotated[
        Annotated[tuple[Annotated[str, Meta(min_length=1)], ...], Meta(max_length=2)] | None,
        Meta(description="what is no laughing matter"),
    ] = None


WITTY = with_parameters(InferBody, parameters_of(Wit, "wit"))
ALL = {"wit": 1, "puns": 2, "dry": False, "tone": "kind", "motto": "abc", "taboos": ["x"]}


def meant(body: type[InferBody] = InferBody, **fields: object) -> Sampling:
    request = parse(body, {"prompt": "hi", **fields}).to_generate_request("id")
    return request.sampling


def test_every_way_of_choosing_has_a_field_of_its_name() -> None:
    names = [name for name in Sampling.__struct_fields__ if name != "own"]
    assert list(SamplingFields.model_fields) == names
    assert {name for name, *_ in NUMBERS} == set(names) - {"logit_bias", "ignore_eos"}


def test_what_a_backend_declares_becomes_fields_whose_values_are_its_own() -> None:
    assert meant(WITTY, **ALL, temperature=1) == Sampling(temperature=1.0, own=ALL)
    assert meant(WITTY, **dict.fromkeys(ALL)) == Sampling()
    assert WITTY.__name__ == "InferBody"
    assert WITTY.__doc__ == InferBody.__doc__


def test_without_the_backend_its_fields_are_unknown() -> None:
    with pytest.raises(InvalidRequestError, match="wit: unknown field"):
        meant(wit=1)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("wit", 0, "greater than 0, got 0"),
        ("wit", 9, "less than 9, got 9"),
        ("wit", "1", "must be a valid number, got a string"),
        ("puns", 0, "greater than or equal to 1, got 0"),
        ("puns", 1.5, "must be a valid integer"),
        ("dry", 1, "must be a valid boolean"),
        ("tone", "rude", "must be 'kind' or 'sharp', got a string"),
        ("motto", "abcdef", "must have at most 5 characters"),
        ("motto", "A", "must match pattern"),
        ("taboos", ["a", "b", "c"], "must have at most 2 items"),
        ("taboos", "a", "must be an array"),
        ("taboos[1]", ["a", ""], "must not be empty"),
    ],
)
def test_what_a_backend_does_not_take_is_refused_by_name(
    field: str, value: object, words: str
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        meant(WITTY, **{field.partition("[")[0]: value})
    assert refusal.value.field == field
    assert words in refusal.value.message


def test_a_backends_field_says_whose_it_is_and_what_it_means() -> None:
    schema = WITTY.model_json_schema()["properties"]
    assert schema["wit"]["description"] == "how witty"
    assert schema["wit"]["x-modeld-backends"] == ["wit"]
    assert schema["wit"]["anyOf"][0] == {
        "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 9,
    }  # fmt: skip
    assert schema["tone"]["anyOf"][0]["enum"] == ["kind", "sharp"]
    assert "x-modeld-backends" not in schema["temperature"]


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
    response = infer(FakeService(), **{field: number})
    assert response.status_code in {200, 400}
    if response.status_code == 400:
        assert response.json()["field"] == field


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
    with pytest.raises(InvalidRequestError, match="its name must be the id of a token") as refusal:
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
    with pytest.raises(InvalidRequestError, match=r"^logit_bias: must have .* 300 items, not 301$"):
        meant(logit_bias={str(token): 1 for token in range(301)})


def test_a_seed_of_minus_1_is_random_as_none_is() -> None:
    assert meant(seed=-1).seed is None


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
