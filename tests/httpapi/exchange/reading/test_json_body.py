# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from modeld.dialects.body import Strict, only_kinds
from modeld.errors import (
    BodyTooLargeError,
    InvalidJsonError,
    InvalidRequestError,
    ModeldError,
    UnsupportedMediaTypeError,
)
from modeld.httpapi.exchange.disconnect import ClientLeft
from modeld.httpapi.exchange.reading import json_body
from modeld.httpapi.exchange.reading.body_shape import (
    MAX_CONTAINERS,
    MAX_DIGITS,
    MAX_MEMBERS,
    MAX_NESTING,
    MAX_TEXTS,
    MAX_VALUES,
    SHORT_BYTES,
    BodyShape,
)
from modeld.httpapi.exchange.reading.json_body import decode, parse, read_body, read_no_body
from modeld.httpapi.routes.inference.infer_body import InferBody
from modeld.httpapi.routes.inference.unary_bodies import DetokenizeBody, EmbedBody, RerankBody

JSON_HEADER = (b"content-type", b"application/json")


class Anything(BaseModel):
    """Takes every object as it is."""

    model_config = ConfigDict(extra="allow")


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
    return asyncio.run(read_body(Anything, scope, receive, limit)).model_extra


def test_a_body_may_arrive_in_any_number_of_parts() -> None:
    assert read(b'{"a"', b": 1", b"}", b"") == {"a": 1}


def read_none(*parts: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send a body that arrives in ``parts`` where none is taken."""
    messages = [
        {"type": "http.request", "body": part, "more_body": i + 1 < len(parts)}
        for i, part in enumerate(parts)
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    asyncio.run(read_no_body({"type": "http", "headers": list(headers)}, receive))


CHUNKED = (b"transfer-encoding", b"chunked")


def test_where_no_body_is_taken_a_request_without_one_is_not_even_read() -> None:
    read_none()
    read_none(headers=[JSON_HEADER, (b"content-length", b"0")])


def test_where_no_body_is_taken_one_that_says_nothing_passes() -> None:
    read_none(b"", headers=[CHUNKED])
    read_none(b"{", b"}", headers=[JSON_HEADER, CHUNKED])
    read_none(b" { } ", headers=[JSON_HEADER, (b"content-length", b"5")])


@pytest.mark.parametrize(
    ("body", "media_type", "error", "message"),
    [
        (b'{"keep_alive":5}', b"application/json", InvalidRequestError, "keep_alive: unknown"),
        (b"null", b"application/json", InvalidRequestError, "must be a JSON object, got null"),
        (b"{", b"application/json", InvalidJsonError, "ends too early"),
        (b"keep_alive=5", b"text/plain", UnsupportedMediaTypeError, "application/json"),
        (b" " * 70_000, b"application/json", BodyTooLargeError, "larger than 65536 bytes"),
    ],
)
def test_where_no_body_is_taken_one_that_says_something_is_refused(
    body: bytes, media_type: bytes, error: type[ModeldError], message: str
) -> None:
    headers = [(b"content-type", media_type), (b"content-length", b"%d" % len(body))]
    with pytest.raises(error, match=message):
        read_none(body, headers=headers)


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
    body = b'{"a":"' + b"a" * 92 + b'"}'
    read_as = {"a": "a" * 92}
    assert read(body, headers=[JSON_HEADER, (b"content-length", b"100")], limit=100) == read_as


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
    for levels in (MAX_NESTING + 1, 500, 12_000):
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


def test_long_bodies_are_read_one_after_the_other_and_others_between_their_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fifty at once would else be one step of a quarter of a second."""
    steps: list[str] = []
    decoded = json_body._decoded

    def noted(body: bytes, shape: BodyShape) -> object:
        steps.append("long" if len(body) > 100_000 else "short")
        return decoded(body, shape)

    monkeypatch.setattr(json_body, "_decoded", noted)
    scope = {"type": "http", "headers": [JSON_HEADER]}

    async def send(body: bytes) -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        await read_body(Anything, scope, receive, 1 << 20)

    async def turns(longs: list[asyncio.Task[None]]) -> None:
        while not all(task.done() for task in longs):
            before = steps.count("long")
            await asyncio.sleep(0)
            assert steps.count("long") <= before + 1
        await send(b"{}")

    async def main() -> None:
        long = msgspec.json.encode({"a": "x" * 200_000})
        tasks = [asyncio.create_task(send(long)) for _ in range(50)]
        await turns(tasks)
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert steps == ["long"] * 50 + ["short"]


def members(count: int) -> bytes:
    return b"{" + b",".join(b'"%x":0' % number for number in range(count)) + b"}"


def texts(count: int) -> bytes:
    return b"[" + b",".join([b'"\\""'] * count) + b"]"


def numbers(count: int) -> bytes:
    return b"[" + b",".join([b"0"] * count) + b"]"


@pytest.mark.parametrize(
    ("body_of", "most", "what"),
    [
        (members, MAX_MEMBERS, "12288 members in its objects"),
        (texts, MAX_TEXTS, "65536 texts"),
        (numbers, MAX_VALUES + 1, "160000 values"),
    ],
)
def test_a_body_says_no_more_than_can_be_decoded_quickly(
    body_of: Callable[[int], bytes], most: int, what: str
) -> None:
    decode(body_of(most))
    with pytest.raises(InvalidJsonError, match=f"the body has more than {what}"):
        decode(body_of(most + 1))


def test_what_is_in_a_text_is_no_member_no_value_and_no_number() -> None:
    text = ':,"' * 200_000 + "1" * 10_000 + "\\"
    assert decode(msgspec.json.encode({"prompt": text})) == {"prompt": text}


def test_a_number_in_a_long_body_has_no_endless_digits() -> None:
    padding = b" " * SHORT_BYTES
    assert decode(padding + b"1" * MAX_DIGITS) == int("1" * MAX_DIGITS)
    assert decode(b"1" * (MAX_DIGITS + 1)) == int("1" * (MAX_DIGITS + 1))
    for shift in range(MAX_DIGITS):  # wherever it stands
        with pytest.raises(InvalidJsonError, match="a number of more than 128 digits"):
            decode(padding + b" " * shift + b"9" * (MAX_DIGITS + 1))


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
    body = rb'{"a":[1,-2.5e3,true,false,null,"\ud83d\ude00\u0000"],"b":{}}'
    assert decode(body) == {"a": [1, -2500.0, True, False, None, "\U0001f600\0"], "b": {}}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"a":1,"a":1}', "a"),
        (b'{"a":1,"b":2,"\\u0061":3}', "a"),
        (b'{ "a" : 1 , "b:" : "x:y" , "a" : "z:" }', "a"),
        (b'{"a":{"b":1},"c":{"b":1,"b":[{}]}}', "c.b"),
        (b'{"a":[1,[{"b":"::"},{"b":1,"c":2,"b":3}]]}', "a[1][1].b"),
        (b'{"a":1,"a":"\\u003a"}', "a"),
        (b'{"a":1,"a":"\\u003A"}', "a"),
        (b'{"a":":","a":"\\u003a\\u003a"}', "a"),
        (b'{"":1,"":2}', ""),
        (b'{"a":{"b":1,"b":2},"a":3}', "a"),
        (b'{"a":9,"a":' + b"1" * 4000 + b"}", "a"),
        (b'{"a":' + b"[" * 62 + b'{"b":0,"b":0}' + b"]" * 62 + b"}", "a[0][0]"),
    ],
)
def test_a_body_that_has_a_name_twice_in_one_object_is_refused(body: bytes, field: str) -> None:
    """A decoder takes the last one, and what was sent first would be ignored without a word."""
    with pytest.raises(InvalidRequestError, match="is there twice; send it once") as refusal:
        decode(body)
    assert refusal.value.field is not None
    assert refusal.value.field.startswith(field)


def test_a_body_that_is_one_text_has_no_names() -> None:
    assert decode(b'"{:\\u003a"') == "{::"


@pytest.mark.parametrize("padding", [b"", b" " * SHORT_BYTES, b"[{}]," * 20])
@pytest.mark.parametrize(
    "body",
    [
        b'{"a":{"b":1},"c":{"b":1}}',
        b'{"a":[{"b":1},{"b":2}],"b":"a:b\\":\\\\","c:d":":"}',
        b'{"a":"\\u003a","b":[":",[":"]]}',
        b'{"a":[1,2,3,[4,"{:"]],"b":{}}',
    ],
)
def test_a_body_that_has_no_name_twice_in_one_object_is_taken(body: bytes, padding: bytes) -> None:
    body = b"[" + padding + body + b"]"
    assert decode(body) == msgspec.json.decode(body)


@given(
    value=st.recursive(
        st.text(':{a\\"', max_size=4) | st.integers(0, 9),
        lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text("a:"), parts),
    ),
    twice=st.booleans(),
    many=st.booleans(),
)
def test_names_are_counted_whatever_stands_around_them(
    value: object, twice: bool, many: bool
) -> None:
    body = msgspec.json.encode(value)
    around = b'{"x":%b,"list":[%b],"x":%b}' if twice else b'{"x":%b,"list":[%b],"y":%b}'
    body = around % (body, b",".join([body] * (100 if many else 1)), body)
    if twice:
        with pytest.raises(InvalidRequestError, match=r"^x: is there twice"):
            decode(body)
    else:
        assert decode(body) == msgspec.json.decode(body)


@pytest.mark.parametrize(
    ("value", "named"), [([], "an array"), ("x", "a string"), (7, "7"), (None, "null")]
)
def test_a_body_that_is_no_object_is_refused(value: object, named: str) -> None:
    with pytest.raises(InvalidRequestError, match=f"must be a JSON object, got {named}"):
        parse(InferBody, value)


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
            {"messages": [{"role": "user", "content": "", "names": "x"}]},
            "messages[0].names",
            "messages[0].names: unknown field",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "data": "%"}]}]},
            "messages[0].content[0].data",
            "messages[0].content[0].data: is no base64",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": [], "text": ""}]}]},
            "messages[0].content[0].type",
            "messages[0].content[0].type: must be 'text', got an array",
        ),
        ({"messages": ["hi"]}, "messages[0]", "messages[0]: must be an object, got a string"),
        ({"stop": [""]}, "stop[0]", "stop[0]: must not be empty"),
        ({"stop": ["a"] * 17}, "stop", "stop: must have at most 16 items, not 17"),
        ({"stop": 1}, "stop", "stop: must be an array, got 1"),
    ],
)
def test_a_refusal_names_the_field_and_what_was_expected(
    body: dict[str, object], field: str, message: str
) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parse(InferBody, body)
    assert refusal.value.field == field
    assert refusal.value.message == message


@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        (InferBody, {f"f{n}": n for n in range(50_000)}, "f0: unknown field"),
        (
            InferBody,
            {"messages": [{"role": "user", **{f"f{n}": n for n in range(50_000)}}]},
            "messages[0].f0: unknown field",
        ),
        (
            InferBody,
            {"messages": ["x"] * 50_000},
            "messages[0]: must be an object, got a string",
        ),
        (
            InferBody,
            {"logit_bias": {f"f{n}": n for n in range(50_000)}},
            "logit_bias: must have at most 300 items, not 50000",
        ),
        (DetokenizeBody, {"tokens": ["x"] * 50_000}, "tokens[0]: must be a valid integer"),
        (EmbedBody, {"input": [""] * 50_000}, "input[0]: must not be empty"),
        (RerankBody, {"query": "q", "documents": [1] * 50_000}, "documents[0]: must be a"),
        (InferBody, {"stop": [1] * 50_000}, "stop[0]: must be a valid string"),
        (InferBody, {"json_schema": {"enum": [[0]] * 70_000}}, "json_schema: is longer than"),
    ],
)
def test_a_refusal_is_found_at_the_first_fault(
    model: type[BaseModel], body: dict[str, object], message: str
) -> None:
    """Pydantic would describe each of the faults, which takes a second."""
    begun_s = time.thread_time()
    with pytest.raises(InvalidRequestError) as refusal:
        parse(model, body)
    assert time.thread_time() - begun_s < 0.03
    assert refusal.value.message.startswith(message)


class Kinded(Strict):
    type: Literal["a"]


class Kinds(Strict):
    items: list[Annotated[Kinded, only_kinds(("a",), "is not served; there is a")]]


def test_an_object_of_an_unserved_kind_is_refused_for_that_and_not_for_its_members() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parse(Kinds, {"items": [{"type": "a"}, {"type": "b", "foreign": 1}]})
    assert refusal.value.message == "items[1].type: is not served; there is a"
    assert refusal.value.field == "items[1].type"
    for item, field in (({"type": 5}, "items[0].type"), (5, "items[0]"), ({}, "items[0].type")):
        with pytest.raises(InvalidRequestError) as refusal:
            parse(Kinds, {"items": [item]})
        assert refusal.value.field == field


def test_a_refusal_repeats_no_text_of_the_request() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parse(InferBody, {"max_tokens": "a canary"})
    assert "canary" not in refusal.value.message


def test_a_refusal_of_an_endless_name_is_short() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        parse(InferBody, {"p" * 1_000_000: 1})
    assert len(refusal.value.message) < 200


@pytest.mark.parametrize(
    "model", [each for each in Strict.__subclasses__() if each.__module__.startswith("modeld.")]
)
def test_no_request_has_a_field_for_a_path_an_address_or_a_command(model: type[BaseModel]) -> None:
    assert not {"path", "url", "command", "args", "env"} & set(model.model_fields)
