# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.errors import InvalidRequestError
from modeld.httpapi.exchange.reading.json_body import parse
from modeld.httpapi.routes.inference.unary_bodies import (
    ApplyTemplateBody,
    DetokenizeBody,
    EmbedBody,
    RerankBody,
    TokenizeBody,
    UnaryBody,
)
from modeld.messages import Message
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)

TURN = {"role": "user", "content": "hi"}
KINDS: list[tuple[type[UnaryBody], dict[str, Any]]] = [
    (EmbedBody, {"input": "a"}),
    (RerankBody, {"query": "q", "documents": ["a"]}),
    (TokenizeBody, {"content": "a"}),
    (DetokenizeBody, {"tokens": [1]}),
    (ApplyTemplateBody, {"messages": [TURN]}),
]


def meant(kind: type[UnaryBody], **body: object) -> AnyUnaryRequest:
    return parse(kind, body).to_request("id")


@pytest.mark.parametrize(("kind", "smallest"), KINDS)
def test_a_unary_request_may_name_a_model_and_times(
    kind: type[UnaryBody], smallest: dict[str, Any]
) -> None:
    plain = meant(kind, **smallest)
    assert (plain.model, plain.timeout_s, plain.request_id) == ("", None, "id")
    assert plain.keep_alive_s is None
    named = meant(kind, **smallest, model="m", timeout_s=3, keep_alive_s=0)
    assert (named.model, named.timeout_s, named.keep_alive_s) == ("m", 3.0, 0.0)


@pytest.mark.parametrize(("kind", "smallest"), KINDS)
def test_null_means_left_out(kind: type[UnaryBody], smallest: dict[str, Any]) -> None:
    nothing = dict.fromkeys(kind.model_fields)
    assert meant(kind, **{**nothing, **smallest}) == meant(kind, **smallest)


@pytest.mark.parametrize(("kind", "smallest"), KINDS)
@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("model", "x" * 513),
        ("model", 1),
        ("timeout_s", 0),
        ("timeout_s", 86_401),
        ("keep_alive_s", -1),
        ("keep_alive_s", "5m"),
        ("path", "/"),
    ],
)
def test_what_is_common_is_checked_for_all(
    kind: type[UnaryBody], smallest: dict[str, Any], field: str, wrong: object
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        meant(kind, **smallest, **{field: wrong})
    assert refusal.value.field == field


def test_one_text_is_a_list_of_one() -> None:
    assert meant(EmbedBody, input="a", normalize=False) == EmbedRequest(
        inputs=("a",), normalize=False, request_id="id"
    )
    assert meant(EmbedBody, input=["a", "b"]) == EmbedRequest(inputs=("a", "b"), request_id="id")


def test_the_documents_reach_the_service_in_their_order() -> None:
    assert meant(RerankBody, query="q", documents=["b", "a"]) == RerankRequest(
        query="q", documents=("b", "a"), request_id="id"
    )


def test_special_tokens_are_added_and_read_unless_told_otherwise() -> None:
    assert meant(TokenizeBody, content="") == TokenizeRequest(text="", request_id="id")
    plain = meant(TokenizeBody, content="a", add_special=False, parse_special=False)
    assert plain == TokenizeRequest(
        text="a", add_special=False, parse_special=False, request_id="id"
    )


def test_token_ids_reach_the_service() -> None:
    ids = [0, 2**31 - 1]
    assert meant(DetokenizeBody, tokens=ids) == DetokenizeRequest(
        tokens=tuple(ids), request_id="id"
    )
    assert meant(DetokenizeBody, tokens=[]) == DetokenizeRequest(tokens=(), request_id="id")


def test_a_chat_reaches_the_service() -> None:
    assert meant(ApplyTemplateBody, messages=[TURN]) == ApplyTemplateRequest(
        messages=(Message(role="user", content="hi"),), request_id="id"
    )


@pytest.mark.parametrize(
    ("kind", "field", "wrong"),
    [
        (EmbedBody, "input", ""),
        (EmbedBody, "input", []),
        (EmbedBody, "input", ["a", ""]),
        (EmbedBody, "input", ["a"] * 2049),
        (EmbedBody, "input", [[1, 2]]),
        (EmbedBody, "input", None),
        (EmbedBody, "normalize", 1),
        (RerankBody, "query", ""),
        (RerankBody, "documents", []),
        (RerankBody, "documents", ["a"] * 1025),
        (RerankBody, "documents", "a"),
        (RerankBody, "documents", ["a", ""]),
        (RerankBody, "top_n", 0),
        (RerankBody, "top_n", 1025),
        (RerankBody, "top_n", True),
        (RerankBody, "return_documents", "yes"),
        (TokenizeBody, "content", None),
        (TokenizeBody, "content", ["a"]),
        (TokenizeBody, "with_pieces", 1),
        (DetokenizeBody, "tokens", "a"),
        (DetokenizeBody, "tokens", [-1]),
        (DetokenizeBody, "tokens", [2**31]),
        (DetokenizeBody, "tokens", [1.0]),
        (DetokenizeBody, "tokens", [True]),
        (DetokenizeBody, "tokens", [1] * 131_073),
        (ApplyTemplateBody, "messages", []),
        (ApplyTemplateBody, "messages", [TURN] * 1025),
        (ApplyTemplateBody, "messages", "hi"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(
    kind: type[UnaryBody], field: str, wrong: object
) -> None:
    smallest = dict(KINDS)[kind]
    with pytest.raises(InvalidRequestError) as refusal:
        meant(kind, **{**smallest, field: wrong})
    assert refusal.value.field is not None
    assert refusal.value.field.startswith(field)


@given(
    st.sampled_from([(kind, field) for kind, _ in KINDS for field in kind.model_fields]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
)
def test_any_json_in_any_field_is_taken_or_refused_by_name(
    where: tuple[type[UnaryBody], str], value: object
) -> None:
    kind, field = where
    body = {**dict(KINDS)[kind], field: value}
    with suppress(InvalidRequestError):
        meant(kind, **body)
        return
    with pytest.raises(InvalidRequestError) as refusal:
        meant(kind, **body)
    assert refusal.value.field is not None
    assert refusal.value.field.startswith(field)


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        (EmbedBody, {"input": ["a"] * 2048}),
        (RerankBody, {"documents": ["a"] * 1024, "top_n": 1024}),
        (DetokenizeBody, {"tokens": [1] * 131_072}),
        (ApplyTemplateBody, {"messages": [TURN] * 1024}),
    ],
)
def test_the_longest_lists_are_taken(kind: type[UnaryBody], most: dict[str, Any]) -> None:
    assert meant(kind, **{**dict(KINDS)[kind], **most})
