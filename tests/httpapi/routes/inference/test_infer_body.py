# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from contextlib import suppress
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.errors import InvalidRequestError, PromptRequiredError
from modeld.httpapi.exchange.reading.json_body import parse
from modeld.httpapi.routes.inference.infer_body import InferBody
from modeld.messages import Message
from modeld.requests import GenerateRequest, Sampling

SMALLEST = 5e-324


def meant(**body: object) -> GenerateRequest:
    return parse(InferBody, body).to_generate_request("id")


def test_a_prompt_alone_leaves_every_choice_to_the_model() -> None:
    assert meant(prompt="hi") == GenerateRequest(prompt="hi", request_id="id")


def test_null_means_left_out() -> None:
    nothing = dict.fromkeys(InferBody.model_fields)
    assert meant(**{**nothing, "prompt": "hi"}) == meant(prompt="hi")


def test_every_field_reaches_the_service() -> None:
    assert meant(
        model="m",
        prompt="hi",
        stream=False,
        max_tokens=7,
        temperature=0.5,
        stop=["a", "b"],
        seed=1,
        json_schema={"type": "object"},
        logprobs=3,
        cache_prompt=False,
        cache_salt="mine",
        timeout_s=30,
        keep_alive_s=60,
    ) == GenerateRequest(
        model="m",
        prompt="hi",
        max_tokens=7,
        stop=("a", "b"),
        sampling=Sampling(temperature=0.5, seed=1),
        json_schema={"type": "object"},
        logprobs=3,
        cache_prompt=False,
        cache_salt="mine",
        timeout_s=30.0,
        keep_alive_s=60.0,
        request_id="id",
    )


def test_every_field_of_the_value_can_be_asked_for() -> None:
    fields = set(GenerateRequest.__struct_fields__) | set(Sampling.__struct_fields__)
    assert set(InferBody.model_fields) == fields - {"sampling", "own", "request_id"} | {"stream"}


def test_tokens_reach_the_service_as_they_are() -> None:
    request = meant(prompt_tokens=[1, 2])
    assert (request.prompt, request.prompt_tokens) == (None, (1, 2))


def test_a_chat_reaches_the_service_in_its_order() -> None:
    turns = [{"role": "system", "content": "be brief"}, {"role": "user", "content": ""}]
    request = meant(messages=turns)
    assert request.prompt is None
    assert request.messages == (
        Message(role="system", content="be brief"),
        Message(role="user", content=""),
    )


def test_one_stop_text_is_a_list_of_one() -> None:
    assert meant(prompt="hi", stop="\n").stop == ("\n",)


@pytest.mark.parametrize("body", [{}, {"prompt": ""}, {"messages": []}, {"prompt": None}])
def test_without_a_prompt_or_messages_a_prompt_is_required(body: dict[str, object]) -> None:
    with pytest.raises(PromptRequiredError) as refusal:
        meant(**body)
    assert refusal.value.field == "prompt"


def test_a_prompt_together_with_a_chat_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="together with messages"):
        meant(prompt="hi", messages=[{"role": "user", "content": "hi"}])


ONE_EACH: dict[str, object] = {
    "grammar": 'root ::= "a"',
    "json_schema": {},
    "regex": "a",
    "lark": 'start: "a"',
    "choice": ["a", "b"],
}


@pytest.mark.parametrize("pair", list(combinations(ONE_EACH, 2)))
def test_two_constraints_are_refused(pair: tuple[str, str]) -> None:
    first, second = pair
    with pytest.raises(InvalidRequestError, match=f"together with {second}") as refusal:
        meant(prompt="hi", **{name: ONE_EACH[name] for name in pair})
    assert refusal.value.field == first


@pytest.mark.parametrize("name", ONE_EACH)
def test_a_constraint_reaches_the_service(name: str) -> None:
    said = ONE_EACH[name]
    wanted = tuple(said) if isinstance(said, list) else said
    assert getattr(meant(prompt="hi", **{name: said}), name) == wanted


@pytest.mark.parametrize("choice", [[], [""], ["x" * 65_537], ["a"] * 1025, "a", [1]])
def test_what_is_no_choice_is_refused(choice: object) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        meant(prompt="hi", choice=choice)
    assert refusal.value.field is not None
    assert refusal.value.field.startswith("choice")


def test_a_schema_may_be_256_kib_long_as_json() -> None:
    around = len('{"const":""}')
    meant(prompt="hi", json_schema={"const": "x" * (262_144 - around)})
    with pytest.raises(InvalidRequestError, match="longer than 262144 bytes as JSON") as refusal:
        meant(prompt="hi", json_schema={"const": "x" * (262_145 - around)})
    assert refusal.value.field == "json_schema"


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**300])
def test_a_schema_with_a_number_that_cannot_be_sent_to_a_worker_is_refused(number: int) -> None:
    meant(prompt="hi", json_schema={"enum": [2**64 - 1, -(2**63)]})
    with pytest.raises(InvalidRequestError, match=r"json_schema: .* more than 64 bits"):
        meant(prompt="hi", json_schema={"properties": {"a": {"maximum": number}}})


@pytest.mark.parametrize("schema", [True, [], "{}", 1])
def test_a_schema_is_an_object(schema: object) -> None:
    with pytest.raises(InvalidRequestError, match="json_schema: must be an object"):
        meant(prompt="hi", json_schema=schema)


@pytest.mark.parametrize(
    ("field", "lowest", "highest", "outside"),
    [
        ("max_tokens", 1, 2**31, [0, -1, 2**31 + 1, 2**63, 10**400]),
        ("logprobs", 0, 20, [-1, 21, True, "5", 2**63]),
        ("timeout_s", SMALLEST, 86_400, [0, -1, 86_401, True]),
        ("keep_alive_s", 0, 31_536_000, [-1, 31_536_001, True]),
    ],
)
def test_a_number_is_taken_at_its_limits_and_refused_beyond(
    field: str, lowest: float, highest: float, outside: list[float]
) -> None:
    for inside in (lowest, highest):
        meant(prompt="hi", **{field: inside})
    for value in outside:
        with pytest.raises(InvalidRequestError) as refusal:
            meant(prompt="hi", **{field: value})
        assert refusal.value.field == field


def test_a_model_may_be_kept_for_ever() -> None:
    assert meant(prompt="hi", keep_alive_s="forever").keep_alive_s == "forever"
    for wrong in ("5m", "inf", ""):
        with pytest.raises(InvalidRequestError, match="keep_alive_s: must be 'forever', got"):
            meant(prompt="hi", keep_alive_s=wrong)


@pytest.mark.parametrize(
    ("field", "longest", "too_long"),
    [
        ("stop", ["x" * 256] * 16, ["x"] * 17),
        ("stop", "x" * 256, "x" * 257),
        ("model", "x" * 512, "x" * 513),
        ("grammar", "x" * 65_536, "x" * 65_537),
        ("grammar", "é" * 32_768, "é" * 32_769),
        ("grammar", "x", ""),
        ("grammar", "x", " "),
        ("lark", "é" * 32_768, "é" * 32_769),
        ("lark", "x", " "),
        ("regex", "é" * 2048, "é" * 2049),
        ("regex", " ", ""),
        ("cache_salt", "x" * 256, "x" * 257),
    ],
)
def test_texts_and_lists_have_a_longest_length(
    field: str, longest: object, too_long: object
) -> None:
    meant(prompt="hi", **{field: longest})
    with pytest.raises(InvalidRequestError):
        meant(prompt="hi", **{field: too_long})


def test_a_chat_may_have_1024_turns() -> None:
    turn = {"role": "user", "content": "x"}
    meant(messages=[turn] * 1024)
    with pytest.raises(InvalidRequestError):
        meant(messages=[turn] * 1025)


@given(
    st.sampled_from(sorted(InferBody.model_fields)),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
)
def test_any_json_in_any_field_is_taken_or_refused_by_name(field: str, value: object) -> None:
    with suppress(InvalidRequestError):
        meant(**{"prompt": "hi", field: value})
        return
    with pytest.raises(InvalidRequestError) as refusal:
        meant(**{"prompt": "hi", field: value})
    assert refusal.value.field is not None
    assert refusal.value.field.startswith((field, "prompt"))
