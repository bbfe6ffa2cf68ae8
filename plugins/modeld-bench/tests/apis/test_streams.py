# SPDX-License-Identifier: GPL-3.0-only
"""Streams as servers send them, cut as networks cut them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from bench_runs import WISH
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modeld_bench.apis import payloads
from modeld_bench.apis.api import Api
from modeld_bench.apis.modeld_api import ModeldApi
from modeld_bench.apis.openai_api import OpenAIApi
from modeld_bench.apis.payloads import Events, JsonLines, StreamError
from modeld_bench.apis.reception import CUT, FAULT, NOT_UNDERSTOOD, Reception
from modeld_bench.outcome import Answered, Failed, Outcome, Usage

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
MODELD = ModeldApi(WISH)
OPENAI = OpenAIApi(WISH)
DONE = (
    '{"done":true,"content":"x","finish_reason":"length","usage":'
    '{"prompt_tokens":5,"completion_tokens":4,"cached_tokens":1,"total_tokens":9}}\n'
)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """``data`` in pieces."""
    ends = sorted({at % (len(data) + 1) for at in cuts})
    return [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]


def received(api: Api, *pieces: bytes) -> Outcome:
    reception = Reception(api)
    for moment, piece in enumerate(pieces):
        reception.feed(piece, float(moment))
    reception.close(float(len(pieces)))
    return reception.outcome(0.0, float(len(pieces)))


CUTS = st.lists(st.integers(0, 10**6))
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@unhurried
@given(TEXTS, CUTS, ENDS)
def test_ndjson_is_the_same_however_it_is_cut(texts, cuts, end):
    lines = [json.dumps({"token": text}, ensure_ascii=False) for text in texts]
    splitter = JsonLines()
    found = [
        each
        for piece in cut("".join(line + end for line in lines).encode(), cuts)
        for each in splitter.feed(piece)
    ]
    assert found == [line.encode() for line in lines]
    assert splitter.close() == b""


@unhurried
@given(TEXTS, CUTS, ENDS)
def test_events_are_the_same_however_they_are_cut(texts, cuts, end):
    datas = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    lines = [f": ping{end}event: x{end}data: {data}{end}id: 1{end}{end}" for data in datas]
    splitter = Events()
    stream = b"\xef\xbb\xbf" + "".join(lines).encode()
    found = [each for piece in cut(stream, cuts) for each in splitter.feed(piece)]
    assert found == [data.encode() for data in datas]
    assert splitter.close() == b""


def test_an_event_may_have_several_lines_of_data_and_none_at_all():
    stream = b"data:{\ndata: 1}\n\n\n\nevent: x\n\ndata\n\nretry: 3\n\n"
    assert [*Events().feed(stream)] == [b"{\n1}", b""]


def test_a_line_end_that_the_network_has_cut_is_one_line_end():
    events = Events()
    assert [*events.feed(b"data: a\r")] == []
    assert [*events.feed(b"\ndata: b\r")] == []
    assert [*events.feed(b"\n\r\n")] == [b"a\nb"]


def test_a_byte_order_mark_is_no_part_of_the_first_line():
    assert [*Events().feed(b"\xef\xbb\xbfdata: 1\n\n")] == [b"1"]


def test_a_line_without_end_is_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr(payloads, "MAX_LINE_BYTES", 10)
    with pytest.raises(StreamError, match="longer than 10 bytes"):
        list(JsonLines().feed(b"x" * 11))


@unhurried
@given(CUTS, st.integers(0, 20))
def test_every_token_of_modelds_stream_is_counted_once(cuts, tokens):
    stream = '{"token":"ä"}\n' * tokens + DONE
    outcome = received(MODELD, *cut(stream.encode(), cuts))
    assert isinstance(outcome, Answered)
    assert len(outcome.arrivals_s) == tokens
    assert outcome.usage == Usage(prompt_tokens=5, completion_tokens=4, cached_tokens=1)
    assert outcome.tokens == 4


def test_a_token_arrives_when_its_line_is_complete():
    outcome = received(MODELD, b'{"token":', b'"a"}\n{"token":"b"}\n', DONE.encode())
    assert isinstance(outcome, Answered)
    assert list(outcome.arrivals_s) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        ('{"token":"a"}\n', CUT),
        ("", CUT),
        ('{"token":"a"}\n{"tok', CUT),
        ('{"token":"a"}\n{"tok\n', NOT_UNDERSTOOD),
        ('{"token":5}\n', NOT_UNDERSTOOD),
        ("<html>\n", NOT_UNDERSTOOD),
        (
            '{"token":"a"}\n{"error":"x","code":503,"reason":"worker_crashed"}\n',
            f"{FAULT}: worker_crashed",
        ),
    ],
)
def test_a_stream_of_modelds_that_is_not_whole_is_a_failure(stream, reason):
    outcome = received(MODELD, stream.encode())
    assert isinstance(outcome, Failed)
    assert outcome.reason == reason


def event(**document: object) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def text(content: str) -> bytes:
    return event(choices=[{"text": content, "finish_reason": None}], usage=None)


def delta(**fields: object) -> bytes:
    return event(choices=[{"delta": fields, "finish_reason": None}])


END = event(choices=[{"text": "", "finish_reason": "length"}])
USAGE = event(
    choices=[],
    usage={
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 2},
    },
)
LAST = b"data: [DONE]\n\n"


def test_completions_are_read():
    outcome = received(OPENAI, text("a"), text("b"), text(""), END, USAGE, LAST)
    assert isinstance(outcome, Answered)
    assert list(outcome.arrivals_s) == [0.0, 1.0]
    assert outcome.usage == Usage(prompt_tokens=7, completion_tokens=3, cached_tokens=2)


def test_chat_completions_are_read_and_a_role_is_no_token():
    stream = [
        delta(role="assistant", content=None),
        delta(reasoning_content="hm"),
        delta(content="a"),
        delta(tool_calls=[{}]),
        LAST,
    ]
    outcome = received(OPENAI, *stream)
    assert isinstance(outcome, Answered)
    assert list(outcome.arrivals_s) == [1.0, 2.0]
    assert outcome.tokens == 2


@pytest.mark.parametrize("end", [[END], [LAST], [END, b"data: [DONE]"], [END, USAGE]])
def test_a_stream_may_end_with_a_reason_or_with_done(end):
    assert isinstance(received(OPENAI, text("a"), *end), Answered)


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (text("a"), CUT),
        (text("a") + b'data: {"choi', CUT),
        (text("a") + b"data: {\n\n", NOT_UNDERSTOOD),
        (
            event(error={"code": 500, "type": "server_error", "message": "x"}),
            f"{FAULT}: server_error",
        ),
        (event(error={"code": "overloaded", "type": "y"}), f"{FAULT}: overloaded"),
        (event(error={"type": "two words"}), FAULT),
        (event(error="broken"), FAULT),
    ],
)
def test_a_stream_like_openais_that_is_not_whole_is_a_failure(stream, reason):
    outcome = received(OPENAI, stream)
    assert isinstance(outcome, Failed)
    assert outcome.reason == reason


@unhurried
@given(CUTS)
def test_a_broken_stream_is_broken_however_it_is_cut(cuts):
    stream = text("ä") * 3 + b"data: {\xff}\n\n" + END + LAST
    outcome = received(OPENAI, *cut(stream, cuts))
    assert isinstance(outcome, Failed)


def test_what_is_not_wished_for_is_not_sent():
    assert json.loads(MODELD.body("hi")) == {
        "prompt": "hi",
        "max_tokens": 8,
        "temperature": 0.0,
        "stream": True,
    }


def test_all_that_is_wished_for_is_sent():
    wish = replace(WISH, model="m", seed=3, ignore_eos=True, chat=True)
    common = {
        "messages": [{"role": "user", "content": "hi"}],
        "model": "m",
        "max_tokens": 8,
        "temperature": 0.0,
        "seed": 3,
        "ignore_eos": True,
        "stream": True,
    }
    assert json.loads(ModeldApi(wish).body("hi")) == common
    options = {"stream_options": {"include_usage": True}}
    assert json.loads(OpenAIApi(wish).body("hi")) == common | options
    assert (OPENAI.path, OpenAIApi(wish).path) == ("/v1/completions", "/v1/chat/completions")


@pytest.mark.parametrize("body", [b"", b"nonsense", b"\xff", b"[]", b'{"error": 5}'])
def test_an_error_that_says_nothing_is_no_fault_of_the_reader(body):
    for api in (MODELD, OPENAI):
        assert (api.fault(body).reason, api.fault(body).message) == ("", "")
