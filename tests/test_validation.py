# SPDX-License-Identifier: GPL-3.0-only
"""What a request may be made of, whichever door it comes through."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from msgspec import Meta
from pydantic import BaseModel, ValidationError

from modeld import BackendSampling, GenerateRequest, Message, Sampling
from modeld.errors import InvalidRequestError, PromptRequiredError
from modeld.httpapi.routes.inference.infer_body import InferBody
from modeld.httpapi.routes.inference.unary_bodies import (
    ApplyTemplateBody,
    DetokenizeBody,
    EmbedBody,
    RerankBody,
)
from modeld.messages import Reasoning
from modeld.requests import (
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.validation import checked_own_sampling, checked_request, checked_unary_request
from tests.support.sampling_cases import NUMBERS
from tests.support.wrong_values import UNARY_REQUESTS, Opaque, all_wrong, fields_of, named


def check(value: Any) -> Any:
    return (
        checked_request(value)
        if isinstance(value, GenerateRequest)
        else checked_unary_request(value)
    )


@pytest.mark.parametrize("case", all_wrong(), ids=named)
def test_what_is_wrong_is_refused_by_the_name_of_its_field(case: Any) -> None:
    value, field = case
    with pytest.raises(InvalidRequestError) as caught:
        check(value)
    assert caught.value.field is not None
    found = caught.value.field
    assert found in {field, field.split("[")[0]} or found.startswith(f"{field}[")
    assert caught.value.message.startswith(f"{caught.value.field}: ")
    assert len(caught.value.message) < 300


def test_the_cases_leave_no_member_out() -> None:
    seen: dict[type, set[str]] = {}
    for value, field in all_wrong():
        seen.setdefault(type(value), set()).add(field.split("[")[0].split(".")[0])
    for kind in (GenerateRequest, *UNARY_REQUESTS):
        assert fields_of(kind) <= seen[kind], kind
    assert fields_of(Sampling) <= seen[GenerateRequest]


def test_what_is_right_comes_out_as_it_was_meant() -> None:
    request = GenerateRequest(
        messages=[{"role": "user", "content": "hi"}],  # type: ignore[arg-type]
        stop=["a", "b"],  # type: ignore[arg-type]
        sampling=Sampling(temperature=1, logit_bias=[[5, None]]),  # type: ignore[arg-type]
        json_schema={"type": "object"},
    )
    assert checked_request(request) == GenerateRequest(
        messages=(Message(role="user", content="hi"),),
        stop=("a", "b"),
        sampling=Sampling(temperature=1.0, logit_bias=((5, None),)),
        json_schema={"type": "object"},
    )
    request = TokenizeRequest(text="")
    assert checked_unary_request(request) == request


def test_who_made_a_request_cannot_change_it_any_more() -> None:
    schema = {"type": "object"}
    request = checked_request(GenerateRequest(prompt="hi", json_schema=schema))
    schema["type"] = "string"
    assert request.json_schema == {"type": "object"}


@pytest.mark.parametrize("value", [None, 5, "hi", Opaque(), EmbedRequest(inputs=("a",))])
def test_what_is_no_request_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError):
        checked_request(value)


@pytest.mark.parametrize("value", [None, 5, "hi", Opaque(), GenerateRequest(prompt="hi"), ()])
def test_what_is_no_unary_request_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError):
        checked_unary_request(value)


def test_a_prompt_without_thinking_is_what_every_prompt_is() -> None:
    request = GenerateRequest(prompt="hi", reasoning=Reasoning(enabled=False))
    assert checked_request(request) == request


def test_a_request_without_a_prompt_says_so() -> None:
    with pytest.raises(PromptRequiredError):
        checked_request(GenerateRequest())


def test_a_message_of_ours_shows_nothing_of_what_was_sent() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        checked_request(GenerateRequest(prompt=["a secret"]))  # type: ignore[arg-type]
    assert "secret" not in caught.value.message


def wire(**fields: Any) -> bool:
    """Return whether the native wire takes it."""
    try:
        InferBody.model_validate({"prompt": "hi", **fields})
    except ValidationError:
        return False
    return True


def python(**fields: Any) -> bool:
    """Return whether a request from Python may have it."""
    own = {name: fields.pop(name) for name in list(fields) if name in fields_of(GenerateRequest)}
    try:
        checked_request(GenerateRequest(**({"prompt": "hi"} | own), sampling=Sampling(**fields)))
    except InvalidRequestError:
        return False
    return True


def bounds(model: type[BaseModel], name: str) -> list[Any]:
    """Return the ends of a range on the wire, and what lies a little beyond."""
    (schema, *_) = model.model_json_schema()["properties"][name]["anyOf"]
    step = 1 if schema["type"] == "integer" else 1e-9
    ends = (
        schema.get(key) for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    )
    return [end + sign * step for end in ends if end is not None for sign in (-1, 0, 1)]


RANGED = [name for name, *_ in NUMBERS] + ["max_tokens", "logprobs", "timeout_s"]


@pytest.mark.parametrize("name", RANGED)
def test_a_range_is_the_same_from_python_as_on_the_wire(name: str) -> None:
    values = [value for value in bounds(InferBody, name) if (name, value) != ("seed", -1)]
    assert values
    for value in values:
        assert python(**{name: value}) is wire(**{name: value}), value


@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        ("model", 512),
        ("cache_salt", 256),
        ("grammar", 65_536),
        ("lark", 65_536),
        ("regex", 4096),
    ],
)
def test_a_length_is_the_same_from_python_as_on_the_wire(name: str, lengths: int) -> None:
    for length in (lengths - 1, lengths, lengths + 1):
        text = "x" * length
        assert python(**{name: text}) is wire(**{name: text}) is (length <= lengths)


@pytest.mark.parametrize(
    ("value", "is_right"),
    [
        (0, True),
        (0.5, True),
        (31_536_000, True),
        ("forever", True),
        ("5m", False),
        (-1e-9, False),
        (31_536_001, False),
    ],
)
def test_how_long_a_model_is_kept_is_the_same_from_python_as_on_the_wire(
    value: float | str, is_right: bool
) -> None:
    assert python(keep_alive_s=value) is wire(keep_alive_s=value) is is_right


def chat(count: int, role: str = "user") -> list[dict[str, str]]:
    return [{"role": role, "content": "hi"}] * count


LISTS: dict[str, Any] = {
    "stops": lambda over: ({"stop": ["x"] * (16 + over)},) * 2,
    "a stop": lambda over: ({"stop": ["x" * (256 + over)]},) * 2,
    "messages": lambda over: ({"prompt": None, "messages": chat(1024 + over)},) * 2,
    "a role": lambda over: ({"prompt": None, "messages": chat(1, "x" * (64 + over))},) * 2,
    "biases": lambda over: biased([(n, 1.0) for n in range(300 + over)]),
    "a bias": lambda over: biased([(1, 100.0 + over)]),
    "a token": lambda over: biased([(999_999_999 + over, 1.0)]),
}


def biased(pairs: list[tuple[int, float]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Biases as they are from Python and as they are on the wire."""
    return {"logit_bias": pairs}, {"logit_bias": {str(token): bias for token, bias in pairs}}


@pytest.mark.parametrize("what", LISTS)
def test_a_list_ends_at_the_same_element_from_python_as_on_the_wire(what: str) -> None:
    for over in (0, 1):
        from_python, on_the_wire = LISTS[what](over)
        assert python(**from_python) is wire(**on_the_wire) is (over == 0)


UNARY_LISTS: dict[str, Any] = {
    "inputs": lambda over: (
        EmbedRequest(inputs=("x",) * (2048 + over)),
        EmbedBody,
        {"input": ["x"] * (2048 + over)},
    ),
    "documents": lambda over: (
        RerankRequest(query="x", documents=("x",) * (1024 + over)),
        RerankBody,
        {"query": "x", "documents": ["x"] * (1024 + over)},
    ),
    "tokens": lambda over: (
        DetokenizeRequest(tokens=(1,) * (131_072 + over)),
        DetokenizeBody,
        {"tokens": [1] * (131_072 + over)},
    ),
    "a token": lambda over: (
        DetokenizeRequest(tokens=(2**31 - 1 + over,)),
        DetokenizeBody,
        {"tokens": [2**31 - 1 + over]},
    ),
    "messages": lambda over: (
        ApplyTemplateRequest(messages=(Message(role="user", content="hi"),) * (1024 + over)),
        ApplyTemplateBody,
        {"messages": chat(1024 + over)},
    ),
}


@pytest.mark.parametrize("what", UNARY_LISTS)
def test_a_unary_request_ends_at_the_same_limit_from_python_as_on_the_wire(what: str) -> None:
    request, body, fields = UNARY_LISTS[what](0)
    assert checked_unary_request(request) == request == body(**fields).to_request("")
    request, body, fields = UNARY_LISTS[what](1)
    with pytest.raises(InvalidRequestError):
        checked_unary_request(request)
    with pytest.raises(ValidationError):
        body(**fields)


class Paired(BackendSampling, frozen=True):
    depth: Annotated[int | None, Meta(description="how deep")] = None
    width: Annotated[int | None, Meta(description="how wide")] = None

    def __post_init__(self) -> None:
        if self.depth is not None and self.width is None:
            raise ValueError("depth needs width")


def test_a_backends_parameters_that_need_each_other_are_taken_together() -> None:
    both = Sampling(own={"depth": 1, "width": 2})
    assert checked_own_sampling(both, Paired) == Paired(depth=1, width=2)


@pytest.mark.parametrize(
    ("own", "field", "message"),
    [
        ({"depth": 1}, "depth", "depth needs width"),
        ({"depth": 1, "width": "x"}, "width", "width: expected a whole number, got a str"),
    ],
)
def test_of_parameters_that_need_each_other_the_wrong_one_is_named(
    own: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        checked_own_sampling(Sampling(own=own), Paired)
    assert (caught.value.field, caught.value.message) == (field, message)
