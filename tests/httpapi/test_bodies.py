# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from modeld.errors import (
    BodyTooLargeError,
    InvalidJsonError,
    InvalidRequestError,
    UnsupportedMediaTypeError,
)
from modeld.httpapi.bodies import MAX_CONTAINERS, MAX_NESTING, decode, parse, read_json
from modeld.httpapi.infer_request import InferRequest
from modeld.httpapi.presence import ClientLeft
from modeld.httpapi.request_body import Strict

JSON_HEADER = (b"content-type", b"application/json")


def read(
    *parts: bytes, headers: Iterable[tuple[bytes, bytes]] = (JSON_HEADER,), limit: int = 100
) -> object:
    """Read a body that arrives in ``parts``; after the last one the client has left."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": i + 1 < len(parts)}
        for i, part in enumerate(parts)
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    scope = {"type": "http", "headers": list(headers)}
    return asyncio.run(read_json(scope, receive, limit))


def test_a_body_may_arrive_in_any_number_of_parts() -> None:
    assert read(b'{"a"', b": 1", b"}", b"") == {"a": 1}


def test_a_client_that_leaves_within_its_body_has_left() -> None:
    with pytest.raises(ClientLeft):
        read()


@pytest.mark.parametrize(
    "media_type",
    [
        b"application/json",
        b"Application/JSON",
        b"application/json; charset=utf-8",
        b'application/json;charset="UTF-8"',
        b"application/json; profile=x",
    ],
)
def test_json_is_taken_under_its_own_media_type(media_type: bytes) -> None:
    assert read(b"{}", headers=[(b"content-type", media_type)]) == {}


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"content-type", b"")],
        [(b"content-type", b"text/plain")],
        [(b"content-type", b"application/x-www-form-urlencoded")],
        [(b"content-type", b"multipart/form-data; boundary=x")],
        [(b"content-type", b"application/json-seq")],
        [(b"content-type", b"application/json, text/plain")],
        [(b"content-type", b"application/json; charset=utf-16")],
        [(b"content-type", b"application/json; charset=latin-1")],
        [JSON_HEADER, (b"content-encoding", b"gzip")],
        [JSON_HEADER, (b"content-encoding", b"identity, gzip")],
    ],
)
def test_anything_but_plain_json_is_refused_before_it_is_read(
    headers: list[tuple[bytes, bytes]],
) -> None:
    with pytest.raises(UnsupportedMediaTypeError):
        read(headers=headers)


def test_the_identity_encoding_is_no_encoding() -> None:
    assert read(b"{}", headers=[JSON_HEADER, (b"content-encoding", b"Identity")]) == {}


def test_a_body_at_the_limit_is_taken() -> None:
    body = b'"' + b"a" * 98 + b'"'
    assert read(body, headers=[JSON_HEADER, (b"content-length", b"100")], limit=100) == "a" * 98


@pytest.mark.parametrize("length", [b"101", b"9" * 400])
def test_a_body_announced_too_long_is_refused_before_it_is_read(length: bytes) -> None:
    with pytest.raises(BodyTooLargeError, match="larger than 100 bytes"):
        read(headers=[JSON_HEADER, (b"content-length", length)], limit=100)


def test_a_chunked_body_is_refused_as_soon_as_it_is_too_long() -> None:
    with pytest.raises(BodyTooLargeError):
        read(b"[" * 60, b"[" * 60, b"never read", limit=100)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"a":}',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":1} x',
        b"{}{}",
        b"NaN",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b'{"a":-1e400}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":0x10}',
        b'{"a":' + b"1" * 5000 + b"}",
        rb'{"a":"\ud800"}',
        rb'{"a":"\udc00"}',
        rb'{"a":"\ud800 and on"}',
        rb'{"a":"\ud800\ud800"}',
        rb'{"\ud800":1}',
        rb'{"a":"\x41"}',
        b'{"a":"\xff"}',
        b'{"a":"\xc0\x80"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\n"}',
        b'{"a":"\x00"}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-32-le"),
        b"// comment\n{}",
        b"True",
        b"undefined",
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJsonError) as refusal:
        decode(body)
    assert refusal.value.code == "invalid_json"
    assert "body" in refusal.value.message


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_ends_at_64_levels(opening: bytes, closing: bytes) -> None:
    innermost = b"[]"

    def nested(levels: int) -> bytes:
        return opening * (levels - 1) + innermost + closing * (levels - 1)

    decode(nested(MAX_NESTING))
    for levels in (MAX_NESTING + 1, 500, 16_000):
        with pytest.raises(InvalidJsonError, match="more than 64 levels"):
            decode(nested(levels))


def test_brackets_within_texts_do_not_count() -> None:
    text = "[{" * 40_000 + '"\\' * 100
    assert decode(msgspec.json.encode({"a": text})) == {"a": text}


def test_many_values_side_by_side_are_not_deep() -> None:
    turns = [{"a": [1, {}]}] * 1000
    assert decode(msgspec.json.encode(turns)) == turns


def test_a_body_of_nothing_but_brackets_is_refused_without_decoding_it() -> None:
    with pytest.raises(InvalidJsonError, match="more than 16384 arrays and objects"):
        decode(b"[" + b"{}," * MAX_CONTAINERS + b"1]")


@pytest.mark.parametrize("hostile", [b'"a\\', b'"', b"\\", b'"[', b'"\\"[', b'["a",'])
def test_no_body_takes_long_to_refuse(hostile: bytes) -> None:
    begun_s = time.perf_counter()
    for opening in (b"", b"[" * 70):
        with pytest.raises(InvalidJsonError):
            decode(opening + hostile * (1_000_000 // len(hostile)))
    assert time.perf_counter() - begun_s < 5


def test_a_body_that_is_cut_off_is_called_invalid_and_not_deep() -> None:
    with pytest.raises(InvalidJsonError, match="ends too early"):
        decode(b"[[]," * 100)


def test_valid_json_of_every_kind_is_understood() -> None:
    body = rb'{"a":[1,-2.5e3,true,false,null,"\ud83d\ude00\u0000"],"b":{},"a":2}'
    assert decode(body) == {"a": 2, "b": {}}


@pytest.mark.parametrize(
    ("value", "named"), [([], "an array"), ("x", "a string"), (7, "7"), (None, "null")]
)
def test_a_body_that_is_no_object_is_refused(value: object, named: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"must be a JSON object, got {named}"):
        parse(InferRequest, value)


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"promt": "x"}, "promt", "promt: unknown field; did you mean 'prompt'?"),
        ({"zzz": 1}, "zzz", "zzz: unknown field"),
        ({"prompt": 1}, "prompt", "prompt: must be a valid string, got 1"),
        ({"prompt": ["x"]}, "prompt", "prompt: must be a valid string, got an array"),
        ({"stream": 1}, "stream", "stream: must be a valid boolean, got 1"),
        ({"stream": "true"}, "stream", "stream: must be a valid boolean, got a string"),
        ({"max_tokens": True}, "max_tokens", "max_tokens: must be a valid integer, got a boolean"),
        ({"max_tokens": 1.0}, "max_tokens", "max_tokens: must be a valid integer, got 1.0"),
        ({"max_tokens": "5"}, "max_tokens", "max_tokens: must be a valid integer, got a string"),
        (
            {"max_tokens": 0},
            "max_tokens",
            "max_tokens: must be greater than or equal to 1, got 0",
        ),
        (
            {"temperature": True},
            "temperature",
            "temperature: must be a valid number, got a boolean",
        ),
        (
            {"temperature": 5.5},
            "temperature",
            "temperature: must be less than or equal to 5, got 5.5",
        ),
        (
            {"messages": [{"role": "user", "content": 1}]},
            "messages[0].content",
            "messages[0].content: must be a valid string, got 1",
        ),
        (
            {"messages": [{"role": "user"}]},
            "messages[0].content",
            "messages[0].content: must be given",
        ),
        (
            {"messages": [{"role": "user", "content": "", "name": "x"}]},
            "messages[0].name",
            "messages[0].name: unknown field",
        ),
        ({"messages": ["hi"]}, "messages[0]", "messages[0]: must be an object, got a string"),
        ({"stop": [""]}, "stop[0]", "stop[0]: string should have at least 1 character"),
        ({"stop": ["a"] * 17}, "stop", "stop: list should have at most 16 items, not 17"),
        ({"stop": 1}, "stop", "stop: must be an array, got 1"),
    ],
)
def test_a_refusal_names_the_field_and_what_was_expected(
    body: dict[str, object], field: str, message: str
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parse(InferRequest, body)
    assert refusal.value.field == field
    assert refusal.value.message == message


def test_a_refusal_repeats_no_text_of_the_request() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parse(InferRequest, {"max_tokens": "a canary"})
    assert "canary" not in refusal.value.message


def test_a_refusal_of_an_endless_name_is_short() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parse(InferRequest, {"p" * 1_000_000: 1})
    assert len(refusal.value.message) < 200


@pytest.mark.parametrize("model", Strict.__subclasses__())
def test_no_request_has_a_field_for_a_path_an_address_or_a_command(model: type[BaseModel]) -> None:
    assert not {"path", "url", "command", "args", "env"} & set(model.model_fields)
