# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld import Done, FinishReason, OutputFormatter, Token, Usage
from modeld.builtin.ndjson import Ndjson
from modeld.builtin.plain_json import PlainJson
from modeld.builtin.sse import ServerSentEvents
from modeld.errors import ModelNotFoundError, WorkerCrashedError

DONE = Done(
    finish_reason=FinishReason.LENGTH,
    usage=Usage(prompt_tokens=5, completion_tokens=7, cached_tokens=2),
    content="Hello",
)
DONE_OBJECT = {
    "done": True,
    "content": "Hello",
    "finish_reason": "length",
    "usage": {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "cached_tokens": 2,
        "total_tokens": 12,
    },
}
NASTY = (
    'a \n\r\t"\\/\b\f\0\x1b\x1c\x1d\x1e\x7f\x85\xa0\u2028\u2029\ufeff\ufffd\ud7ff\U0010ffff'
    "é模🦙👩‍👧e\u0301\u202e{}[]:,data"
)


def ndjson_object(encoded: bytes) -> object:
    [line] = encoded.decode().splitlines()  # which splits at more than JSON's readers do
    assert encoded.endswith(b"\n")
    return json.loads(line)


def sse_object(encoded: bytes) -> object:
    [line, blank] = encoded.decode().splitlines()
    assert blank == ""
    assert encoded.endswith(b"\n\n")
    return json.loads(line.removeprefix("data: "))


STREAMING = [(Ndjson(), ndjson_object), (ServerSentEvents(), sse_object)]
Decode = Callable[[bytes], object]


def test_the_formats_say_what_they_are() -> None:
    assert [
        (found.name, found.media_type, found.streams)
        for found in (Ndjson(), ServerSentEvents(), PlainJson())
    ] == [
        ("ndjson", "application/x-ndjson", True),
        ("sse", "text/event-stream", True),
        ("plain-json", "application/json", False),
    ]


def test_a_token_is_one_line() -> None:
    assert Ndjson().encode(Token(text="Hi")) == b'{"token":"Hi"}\n'
    assert ServerSentEvents().encode(Token(text="Hi")) == b'data: {"token":"Hi"}\n\n'


@pytest.mark.parametrize(("formatter", "decode"), STREAMING)
def test_the_end_has_content_reason_and_usage(formatter: OutputFormatter, decode: Decode) -> None:
    assert decode(formatter.encode(DONE)) == DONE_OBJECT


@pytest.mark.parametrize(("formatter", "decode"), STREAMING)
def test_an_error_has_message_status_and_reason(formatter: OutputFormatter, decode: Decode) -> None:
    error = WorkerCrashedError("the worker of 'a' died\nof signal 9\u2028")
    assert decode(formatter.encode_error(error, 503)) == {
        "error": "the worker of 'a' died\nof signal 9\u2028",
        "code": 503,
        "reason": "worker_crashed",
    }


def test_plain_json_is_one_object_at_the_end() -> None:
    plain = PlainJson()
    assert plain.encode(Token(text="Hi")) == b""
    assert json.loads(plain.encode(DONE)) == DONE_OBJECT
    assert json.loads(plain.encode_error(ModelNotFoundError("no model 'b'"), 404)) == {
        "error": "no model 'b'",
        "code": 404,
        "reason": "model_not_found",
    }


@pytest.mark.parametrize(("formatter", "decode"), STREAMING)
def test_ten_thousand_nasty_texts_arrive_as_they_were(
    formatter: OutputFormatter, decode: Decode
) -> None:
    chance = random.Random(45)
    for _ in range(10_000):
        text = "".join(chance.choices(NASTY, k=chance.randrange(12)))
        assert decode(formatter.encode(Token(text=text))) == {"token": text}


@pytest.mark.parametrize(("formatter", "decode"), STREAMING)
@given(text=st.text())
def test_any_text_arrives_as_it_was(formatter: OutputFormatter, decode: Decode, text: str) -> None:
    assert decode(formatter.encode(Token(text=text))) == {"token": text}
    done = Done(finish_reason=FinishReason.STOP, usage=Usage(), content=text)
    decoded = decode(formatter.encode(done))
    assert isinstance(decoded, dict)
    assert decoded["content"] == text
