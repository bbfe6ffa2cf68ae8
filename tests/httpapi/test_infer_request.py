# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.errors import InvalidRequestError, PromptRequiredError
from modeld.httpapi.bodies import parse
from modeld.httpapi.infer_request import InferRequest
from modeld.values import GenerateRequest, Message, Sampling

SMALLEST = 5e-324


def meant(**body: object) -> GenerateRequest:
    return parse(InferRequest, body).to_generate_request("id")


def test_a_prompt_alone_leaves_every_choice_to_the_model() -> None:
    assert meant(prompt="hi") == GenerateRequest(prompt="hi", request_id="id")


def test_null_means_left_out() -> None:
    nothing = dict.fromkeys(InferRequest.model_fields)
    assert meant(**{**nothing, "prompt": "hi"}) == meant(prompt="hi")


def test_every_field_reaches_the_service() -> None:
    assert meant(
        model="m",
        prompt="hi",
        stream=False,
        max_tokens=7,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        min_p=0.05,
        stop=["a", "b"],
        seed=1,
        repeat_penalty=1.1,
        timeout_s=30,
    ) == GenerateRequest(
        model="m",
        prompt="hi",
        max_tokens=7,
        stop=("a", "b"),
        sampling=Sampling(
            temperature=0.5, top_p=0.9, top_k=40, min_p=0.05, repeat_penalty=1.1, seed=1
        ),
        timeout_s=30.0,
        request_id="id",
    )


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
def test_without_anything_to_answer_to_a_prompt_is_required(body: dict[str, object]) -> None:
    with pytest.raises(PromptRequiredError) as refusal:
        meant(**body)
    assert refusal.value.field == "prompt"


def test_a_prompt_together_with_a_chat_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="together with messages"):
        meant(prompt="hi", messages=[{"role": "user", "content": "hi"}])


@pytest.mark.parametrize(
    ("field", "lowest", "highest", "outside"),
    [
        ("max_tokens", 1, 2**31, [0, -1, 2**31 + 1, 2**63, 10**400]),
        ("temperature", 0, 5, [-0.1, 5.1, 1e300]),
        ("top_p", SMALLEST, 1, [0, -1, 1.01]),
        ("top_k", 0, 2**31 - 1, [-1, 2**31]),
        ("min_p", 0, 1, [-0.1, 1.1]),
        ("seed", 0, 2**32 - 2, [-1, 2**32 - 1, 2**70]),
        ("repeat_penalty", SMALLEST, 10, [0, -1, 10.5]),
        ("timeout_s", SMALLEST, 86_400, [0, -1, 86_401]),
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


@pytest.mark.parametrize(
    ("field", "longest", "too_long"),
    [
        ("stop", ["x" * 256] * 16, ["x"] * 17),
        ("stop", "x" * 256, "x" * 257),
        ("model", "x" * 512, "x" * 513),
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
    st.sampled_from(sorted(InferRequest.model_fields)),
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
