# SPDX-License-Identifier: GPL-3.0-only
"""What a message looks like, as events and in one piece."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic_calls import MESSAGES, REQUEST_ID, events, post
from modeld_anthropic.messages.responses import AnthropicEvent, AnthropicMessage

from modeld.errors import WorkerCrashedError
from modeld.responses import Done, FinishReason, ReasoningToken, Token, ToolCallDelta, Usage
from tests.support.http.fake_service import FakeService

USAGE = Usage(prompt_tokens=9, completion_tokens=4, cached_tokens=5, reasoning_tokens=2)
USAGE_DOCUMENT = {
    "input_tokens": 4,
    "cache_read_input_tokens": 5,
    "cache_creation_input_tokens": 0,
    "output_tokens": 4,
    "output_tokens_details": {"thinking_tokens": 2},
}
NOTHING = {
    **USAGE_DOCUMENT,
    "input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 0,
    "output_tokens_details": {"thinking_tokens": 0},
}
DONE = Done(finish_reason=FinishReason.STOP, usage=USAGE)
CALLED = Done(finish_reason=FinishReason.TOOL_CALLS, usage=USAGE)
HEAD = {"id": f"msg_{REQUEST_ID}", "type": "message", "role": "assistant", "model": "m"}
THINKS = {"thinking": {"type": "adaptive"}}
HIDES = {"thinking": {"type": "adaptive", "display": "omitted"}}
ALL = (
    ReasoningToken(text="h"),
    ReasoningToken(text="m"),
    Token(text="a"),
    ToolCallDelta(index=0, id="c", name="f"),
    ToolCallDelta(index=0, arguments='{"a":'),
    ToolCallDelta(index=0, arguments="1}"),
    ToolCallDelta(index=1, name="g", arguments="{}"),
    CALLED,
)


def stream(*script: Any, **body: Any) -> list[dict[str, Any]]:
    """Return the events between the first one and the last one, which all streams have."""
    response = post(FakeService(*script), MESSAGES, stream=True, **body)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["request-id"] == REQUEST_ID
    first, *between, last = events(response)
    for each in (first, *between, last):
        AnthropicEvent.model_validate(each, extra="forbid")
    message = {**HEAD, "content": [], "stop_reason": None, "stop_sequence": None, "usage": NOTHING}
    assert first == {"type": "message_start", "message": message}
    assert last == {"type": "message_stop"}
    return between


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def part(index: int, kind: str, **delta: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **delta}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def end(reason: str = "end_turn", text: str | None = None) -> dict[str, Any]:
    delta = {"stop_reason": reason, "stop_sequence": text}
    return {"type": "message_delta", "delta": delta, "usage": USAGE_DOCUMENT}


PING = {"type": "ping"}
TEXT = start(0, type="text", text="")


def whole(*script: Any, **body: Any) -> dict[str, Any]:
    response = post(FakeService(*script), MESSAGES, **body)
    assert response.status_code == 200
    assert response.headers["request-id"] == REQUEST_ID
    document: dict[str, Any] = response.json()
    AnthropicMessage.model_validate(document, extra="forbid")
    return document


def test_a_text_is_a_block_with_a_start_parts_and_a_stop() -> None:
    assert stream(Token(text="a\u2028\n"), Token(text="é"), DONE) == [
        TEXT,
        PING,
        part(0, "text_delta", text="a\u2028\n"),
        part(0, "text_delta", text="é"),
        stop(0),
        end(),
    ]


def test_a_stream_without_any_piece_has_no_block() -> None:
    assert stream(DONE) == [end()]


def test_blocks_follow_each_other_and_thinking_is_signed() -> None:
    assert stream(*ALL, **THINKS) == [
        start(0, type="thinking", thinking="", signature=""),
        PING,
        part(0, "thinking_delta", thinking="h"),
        part(0, "thinking_delta", thinking="m"),
        part(0, "signature_delta", signature="modeld"),
        stop(0),
        start(1, type="text", text=""),
        part(1, "text_delta", text="a"),
        stop(1),
        start(2, type="tool_use", id="c", name="f", input={}),
        part(2, "input_json_delta", partial_json='{"a":'),
        part(2, "input_json_delta", partial_json="1}"),
        stop(2),
        start(3, type="tool_use", id=f"toolu_{REQUEST_ID}_1", name="g", input={}),
        part(3, "input_json_delta", partial_json="{}"),
        stop(3),
        end("tool_use"),
    ]


def test_text_after_a_call_is_a_block_of_its_own() -> None:
    found = stream(Token(text="a"), ToolCallDelta(index=0, id="c", name="f"), Token(text="b"), DONE)
    assert [each["index"] for each in found if "index" in each] == [0, 0, 0, 1, 1, 2, 2, 2]


def test_thinking_that_is_not_shown_is_in_its_signature() -> None:
    assert stream(*ALL[:3], DONE, **HIDES)[:4] == [
        start(0, type="thinking", thinking="", signature=""),
        PING,
        part(0, "signature_delta", signature="modeld:aG0="),
        stop(0),
    ]


def test_a_part_of_a_call_after_another_call_fails_the_stream() -> None:
    response = post(FakeService(*ALL[:-1], ALL[5], CALLED), MESSAGES, stream=True)
    assert events(response)[-1]["error"]["details"] == {"error_code": "internal_error"}


def test_a_late_failure_is_the_last_event() -> None:
    service = FakeService(Token(text="a"), WorkerCrashedError("it died"))
    found = events(post(service, MESSAGES, stream=True))
    AnthropicEvent.model_validate(found[-1], extra="forbid")
    assert found[-1] == {
        "type": "error",
        "error": {
            "type": "api_error",
            "message": "it died",
            "details": {"error_code": "worker_crashed"},
        },
        "request_id": REQUEST_ID,
    }


ENDS = [
    (DONE, "end_turn", None),
    (Done(finish_reason=FinishReason.LENGTH, usage=USAGE), "max_tokens", None),
    (CALLED, "tool_use", None),
    (Done(finish_reason=FinishReason.CONTENT_FILTER, usage=USAGE), "refusal", None),
    (Done(finish_reason=FinishReason.STOP, usage=USAGE, stop_text="!"), "stop_sequence", "!"),
    (Done(finish_reason=FinishReason.TOOL_CALLS, usage=USAGE, stop_text="!"), "tool_use", None),
]


@pytest.mark.parametrize(("done", "reason", "text"), ENDS)
def test_the_end_says_why(done: Done, reason: str, text: str | None) -> None:
    assert stream(Token(text="a"), done)[-1] == end(reason, text)
    document = whole(Token(text="a"), done)
    assert (document["stop_reason"], document["stop_sequence"]) == (reason, text)


def test_one_piece_has_all() -> None:
    assert whole(*ALL, **THINKS) == {
        **HEAD,
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "modeld"},
            {"type": "text", "text": "a"},
            {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
            {"type": "tool_use", "id": f"toolu_{REQUEST_ID}_1", "name": "g", "input": {}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": USAGE_DOCUMENT,
    }


def test_one_piece_has_thinking_that_is_not_shown_in_its_signature() -> None:
    block, *_ = whole(*ALL, **HIDES)["content"]
    assert block == {"type": "thinking", "thinking": "", "signature": "modeld:aG0="}


def test_one_piece_without_any_text_has_no_block() -> None:
    assert whole(DONE)["content"] == []


@pytest.mark.parametrize(
    ("arguments", "found"),
    [('{"a": "b', {"a": "b"}), ('{"a": 1, "b":', {"a": 1}), ("", {}), ("[1", {}), ("?", {})],
)
def test_the_input_of_a_call_that_was_cut_is_what_has_come_of_it(
    arguments: str, found: dict[str, object]
) -> None:
    delta = ToolCallDelta(index=0, id="c", name="f", arguments=arguments)
    done = Done(finish_reason=FinishReason.LENGTH, usage=USAGE)
    (block,) = whole(delta, done)["content"]
    assert block["input"] == found


@pytest.mark.parametrize("characters", [65_535, 65_536, 300_000])
def test_a_long_text_arrives_as_it_was(characters: int) -> None:
    text = ('é\u2028\n"' * characters)[:characters]
    assert whole(Token(text=text), DONE)["content"][0]["text"] == text
