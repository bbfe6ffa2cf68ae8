# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.errors import InvalidRequestError
from modeld.httpapi.bodies import parse
from modeld.httpapi.question_bodies import (
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    QuestionRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.questions import (
    AnyQuestion,
    ApplyTemplateQuestion,
    DetokenizeQuestion,
    EmbedQuestion,
    RerankQuestion,
    TokenizeQuestion,
)
from modeld.values import Message

TURN = {"role": "user", "content": "hi"}
KINDS: list[tuple[type[QuestionRequest], dict[str, Any]]] = [
    (EmbedRequest, {"input": "a"}),
    (RerankRequest, {"query": "q", "documents": ["a"]}),
    (TokenizeRequest, {"content": "a"}),
    (DetokenizeRequest, {"tokens": [1]}),
    (ApplyTemplateRequest, {"messages": [TURN]}),
]


def meant(kind: type[QuestionRequest], **body: object) -> AnyQuestion:
    return parse(kind, body).to_question("id")


@pytest.mark.parametrize(("kind", "smallest"), KINDS)
def test_a_question_may_name_a_model_and_a_time(
    kind: type[QuestionRequest], smallest: dict[str, Any]
) -> None:
    plain = meant(kind, **smallest)
    assert (plain.model, plain.timeout_s, plain.request_id) == ("", None, "id")
    named = meant(kind, **smallest, model="m", timeout_s=3)
    assert (named.model, named.timeout_s) == ("m", 3.0)


@pytest.mark.parametrize(("kind", "smallest"), KINDS)
def test_null_means_left_out(kind: type[QuestionRequest], smallest: dict[str, Any]) -> None:
    nothing = dict.fromkeys(kind.model_fields)
    assert meant(kind, **{**nothing, **smallest}) == meant(kind, **smallest)


@pytest.mark.parametrize(("kind", "smallest"), KINDS)
@pytest.mark.parametrize(
    ("field", "wrong"),
    [("model", "x" * 513), ("model", 1), ("timeout_s", 0), ("timeout_s", 86_401), ("path", "/")],
)
def test_what_is_common_is_checked_for_all(
    kind: type[QuestionRequest], smallest: dict[str, Any], field: str, wrong: object
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        meant(kind, **smallest, **{field: wrong})
    assert refusal.value.field == field


def test_one_text_is_a_list_of_one() -> None:
    assert meant(EmbedRequest, input="a", normalize=False) == EmbedQuestion(
        inputs=("a",), normalize=False, request_id="id"
    )
    assert meant(EmbedRequest, input=["a", "b"]) == EmbedQuestion(
        inputs=("a", "b"), request_id="id"
    )


def test_the_documents_reach_the_service_in_their_order() -> None:
    assert meant(RerankRequest, query="q", documents=["b", "a"]) == RerankQuestion(
        query="q", documents=("b", "a"), request_id="id"
    )


def test_special_tokens_are_added_and_read_unless_told_otherwise() -> None:
    assert meant(TokenizeRequest, content="") == TokenizeQuestion(text="", request_id="id")
    plain = meant(TokenizeRequest, content="a", add_special=False, parse_special=False)
    assert plain == TokenizeQuestion(
        text="a", add_special=False, parse_special=False, request_id="id"
    )


def test_token_ids_reach_the_service() -> None:
    ids = [0, 2**31 - 1]
    assert meant(DetokenizeRequest, tokens=ids) == DetokenizeQuestion(
        tokens=tuple(ids), request_id="id"
    )
    assert meant(DetokenizeRequest, tokens=[]) == DetokenizeQuestion(tokens=(), request_id="id")


def test_a_chat_reaches_the_service() -> None:
    assert meant(ApplyTemplateRequest, messages=[TURN]) == ApplyTemplateQuestion(
        messages=(Message(role="user", content="hi"),), request_id="id"
    )


@pytest.mark.parametrize(
    ("kind", "field", "wrong"),
    [
        (EmbedRequest, "input", ""),
        (EmbedRequest, "input", []),
        (EmbedRequest, "input", ["a", ""]),
        (EmbedRequest, "input", ["a"] * 2049),
        (EmbedRequest, "input", [[1, 2]]),
        (EmbedRequest, "input", None),
        (EmbedRequest, "normalize", 1),
        (RerankRequest, "query", ""),
        (RerankRequest, "documents", []),
        (RerankRequest, "documents", ["a"] * 1025),
        (RerankRequest, "documents", "a"),
        (RerankRequest, "documents", ["a", ""]),
        (RerankRequest, "top_n", 0),
        (RerankRequest, "top_n", 1025),
        (RerankRequest, "top_n", True),
        (RerankRequest, "return_documents", "yes"),
        (TokenizeRequest, "content", None),
        (TokenizeRequest, "content", ["a"]),
        (TokenizeRequest, "with_pieces", 1),
        (DetokenizeRequest, "tokens", "a"),
        (DetokenizeRequest, "tokens", [-1]),
        (DetokenizeRequest, "tokens", [2**31]),
        (DetokenizeRequest, "tokens", [1.0]),
        (DetokenizeRequest, "tokens", [True]),
        (DetokenizeRequest, "tokens", [1] * 131_073),
        (ApplyTemplateRequest, "messages", []),
        (ApplyTemplateRequest, "messages", [TURN] * 1025),
        (ApplyTemplateRequest, "messages", "hi"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(
    kind: type[QuestionRequest], field: str, wrong: object
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
    where: tuple[type[QuestionRequest], str], value: object
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
        (EmbedRequest, {"input": ["a"] * 2048}),
        (RerankRequest, {"documents": ["a"] * 1024, "top_n": 1024}),
        (DetokenizeRequest, {"tokens": [1] * 131_072}),
        (ApplyTemplateRequest, {"messages": [TURN] * 1024}),
    ],
)
def test_the_longest_lists_are_taken(kind: type[QuestionRequest], most: dict[str, Any]) -> None:
    assert meant(kind, **{**dict(KINDS)[kind], **most})
