# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
import math
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
from modeld.responses import LikelyToken, TokenLogprobs

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
CUT = TokenLogprobs(
    chosen=LikelyToken(id=9, piece=b"\xf0\x9f", logprob=-0.5),
    top=(
        LikelyToken(id=9, piece=b"\xf0\x9f", logprob=-0.5),
        LikelyToken(id=7, piece="é\u2028".encode(), logprob=-1.25),
    ),
)
CUT_OBJECT = {
    "id": 9,
    "token": "\ufffd",
    "bytes": [240, 159],
    "logprob": -0.5,
    "top_logprobs": [
        {"id": 9, "token": "\ufffd", "bytes": [240, 159], "logprob": -0.5},
        {"id": 7, "token": "é\u2028", "bytes": [195, 169, 226, 128, 168], "logprob": -1.25},
    ],
}
PLAIN = TokenLogprobs(chosen=LikelyToken(id=0, piece=b"", logprob=0.0))
PLAIN_OBJECT = {"id": 0, "token": "", "bytes": [], "logprob": 0.0, "top_logprobs": []}
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
def test_a_long_generation_arrives_as_it_was(formatter: OutputFormatter, decode: Decode) -> None:
    text = "".join(random.Random(46).choices(NASTY, k=300_000))
    done = Done(finish_reason=FinishReason.STOP, usage=Usage(), content=text)
    decoded = decode(formatter.encode(done))
    assert isinstance(decoded, dict)
    assert decoded["content"] == text


@pytest.mark.parametrize(("formatter", "decode"), STREAMING)
@given(text=st.text())
def test_any_text_arrives_as_it_was(formatter: OutputFormatter, decode: Decode, text: str) -> None:
    assert decode(formatter.encode(Token(text=text))) == {"token": text}
    done = Done(finish_reason=FinishReason.STOP, usage=Usage(), content=text)
    decoded = decode(formatter.encode(done))
    assert isinstance(decoded, dict)
    assert decoded["content"] == text


@pytest.mark.parametrize(("formatter", "decode"), STREAMING)
def test_a_token_has_its_probabilities_where_there_are_some(
    formatter: OutputFormatter, decode: Decode
) -> None:
    token = Token(text="🦙", logprobs=(CUT, PLAIN))
    assert decode(formatter.encode(token)) == {
        "token": "🦙",
        "logprobs": [CUT_OBJECT, PLAIN_OBJECT],
    }


@pytest.mark.parametrize(("formatter", "decode"), [*STREAMING, (PlainJson(), json.loads)])
def test_the_end_has_probabilities_where_there_are_some(
    formatter: OutputFormatter, decode: Decode
) -> None:
    done = Done(
        finish_reason=DONE.finish_reason, usage=DONE.usage, content="Hello", logprobs=(CUT,)
    )
    assert decode(formatter.encode(done)) == {**DONE_OBJECT, "logprobs": [CUT_OBJECT]}


@pytest.mark.parametrize(("formatter", "decode"), [*STREAMING, (PlainJson(), json.loads)])
def test_the_end_has_the_stop_text_where_one_has_ended_it(
    formatter: OutputFormatter, decode: Decode
) -> None:
    done = Done(
        finish_reason=DONE.finish_reason, usage=DONE.usage, content="Hello", stop_text="\u2028é"
    )
    assert decode(formatter.encode(done)) == {**DONE_OBJECT, "stop_text": "\u2028é"}


def refuse(constant: str) -> object:
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.parametrize(
    ("logprob", "sent"),
    [
        (-math.inf, -9999.0),
        (math.nan, -9999.0),
        (-1e300, -9999.0),
        (math.inf, 0.0),
        (1e-9, 0.0),
        (-3.5, -3.5),
    ],
)
def test_a_probability_is_always_a_number(logprob: float, sent: float) -> None:
    likely = LikelyToken(id=1, piece=b"a", logprob=logprob)
    token = Token(text="a", logprobs=(TokenLogprobs(chosen=likely, top=(likely,)),))
    [found] = json.loads(Ndjson().encode(token), parse_constant=refuse)["logprobs"]
    assert found["logprob"] == found["top_logprobs"][0]["logprob"] == sent


@given(piece=st.binary(max_size=8), logprob=st.floats(), token_id=st.integers(0, 2**31 - 1))
def test_the_bytes_of_any_token_arrive_as_they_were(
    piece: bytes, logprob: float, token_id: int
) -> None:
    likely = LikelyToken(id=token_id, piece=piece, logprob=logprob)
    token = Token(text="a", logprobs=(TokenLogprobs(chosen=likely),))
    line = ndjson_object(Ndjson().encode(token))
    assert isinstance(line, dict)
    [found] = line["logprobs"]
    assert bytes(found["bytes"]) == piece
    assert found["token"] == piece.decode(errors="replace")
    assert found["id"] == token_id
    assert -9999.0 <= found["logprob"] <= 0.0


@pytest.mark.parametrize("formatter", [Ndjson(), ServerSentEvents(), PlainJson()])
def test_an_end_that_does_not_repeat_the_generation_has_no_content(
    formatter: OutputFormatter,
) -> None:
    end = Done(finish_reason=DONE.finish_reason, usage=DONE.usage, content=None)
    line = formatter.encode(end).removeprefix(b"data: ")
    assert json.loads(line) == {key: DONE_OBJECT[key] for key in DONE_OBJECT if key != "content"}
