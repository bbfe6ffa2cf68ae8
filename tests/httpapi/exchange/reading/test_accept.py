# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest

from modeld.builtin.ndjson import Ndjson
from modeld.builtin.plain_json import PlainJson
from modeld.builtin.sse import ServerSentEvents
from modeld.errors import ConfigurationError, NotAcceptableError
from modeld.httpapi.exchange.reading.accept import MAX_RANGES, Formatters

FORMATTERS = Formatters([ServerSentEvents(), PlainJson(), Ndjson()])


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        ("", "ndjson"),
        ("*/*", "ndjson"),
        ("application/*", "ndjson"),
        ("application/x-ndjson", "ndjson"),
        ("text/event-stream", "sse"),
        ("TEXT/Event-Stream", "sse"),
        ("text/*", "sse"),
        ("application/json", "plain-json"),
        ("application/json;charset=utf-8", "plain-json"),
        ("text/html, application/json;q=0.9", "plain-json"),
        ("application/json;q=0.5, text/event-stream;q=0.8", "sse"),
        ("application/json;q=0.5, text/event-stream; q=0.5", "plain-json"),
        ("application/json, text/plain, */*", "plain-json"),
        ("*/*;q=0.1, text/event-stream;q=0.1", "sse"),
        ("application/x-ndjson;q=0, */*", "plain-json"),
        ("application/*;q=0, */*", "sse"),
        ("text/event-stream;q=high, application/json", "plain-json"),
        ("text/event-stream;q=nan, application/json", "plain-json"),
        (",, ;q=1, nonsense", "ndjson"),
    ],
)
def test_the_accept_header_chooses_the_format(accept: str, name: str) -> None:
    assert FORMATTERS.choose(accept, stream=True).name == name


@pytest.mark.parametrize(
    "accept", ["text/html", "image/*", "application/json;q=0", "*/*;q=0", "text/event-stream;q=x"]
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_format_that_nobody_writes_is_refused_with_those_that_are(
    accept: str, stream: bool
) -> None:
    with pytest.raises(NotAcceptableError) as refusal:
        FORMATTERS.choose(accept, stream=stream)
    for media_type in ("application/x-ndjson", "application/json", "text/event-stream"):
        assert media_type in refusal.value.message


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "text/event-stream"])
def test_without_streaming_the_response_is_one_object(accept: str) -> None:
    assert FORMATTERS.choose(accept, stream=False).name == "plain-json"


def test_without_streaming_another_format_that_is_whole_may_be_named() -> None:
    class Upper(PlainJson):
        name = "upper"
        media_type = "text/plain"

    formatters = Formatters([Ndjson(), PlainJson(), Upper()])
    assert formatters.choose("text/plain", stream=False).name == "upper"


def test_without_streaming_and_any_whole_format_a_stream_is_better_than_nothing() -> None:
    assert Formatters([Ndjson()]).choose("*/*", stream=False).name == "ndjson"


def test_the_default_comes_first_among_the_media_types() -> None:
    assert FORMATTERS.media_types == (
        "application/x-ndjson",
        "application/json",
        "text/event-stream",
    )


def test_an_application_without_any_formatter_is_not_made() -> None:
    with pytest.raises(ConfigurationError, match="no output formatter"):
        Formatters([])


def test_a_client_accepts_only_so_many_media_types() -> None:
    most = ",".join(["application/x-ndjson"] * MAX_RANGES)
    assert FORMATTERS.choose(most, stream=True).name == "ndjson"
    with pytest.raises(NotAcceptableError, match="more than 100 media types"):
        FORMATTERS.choose(most + ",*/*", stream=True)
