# SPDX-License-Identifier: GPL-3.0-only
"""The events of a response that is streamed: their order, their numbers, their members."""

from __future__ import annotations

import json
from typing import Any

from modeld_openai.responses.documents import ResponseEvent
from openai_calls import RESPONSES, post

from modeld.errors import QueueFullError, WorkerCrashedError
from modeld.responses import (
    Done,
    FinishReason,
    LikelyToken,
    ReasoningToken,
    Token,
    TokenLogprobs,
    ToolCallDelta,
    Usage,
)
from tests.support.http.fake_service import FakeService

USAGE = Usage(prompt_tokens=9, completion_tokens=4)
DONE = Done(finish_reason=FinishReason.STOP, usage=USAGE)


def stream(*script: Any, **body: Any) -> list[dict[str, Any]]:
    """Return the events of a stream, each checked for what all have."""
    response = post(FakeService(*script), RESPONSES, stream=True, **body)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *parts, end = response.text.split("\n\n")
    assert end == ""
    events = []
    for number, part in enumerate(parts):
        name, data = part.splitlines()
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        ResponseEvent.model_validate(event, extra="forbid")
        assert event.pop("sequence_number") == number
        events.append(event)
    return events


def types(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


TEXT = ["output_item.added", "content_part.added", "output_text.delta"]
TEXT_END = ["output_text.done", "content_part.done", "output_item.done"]
THOUGHT = ["output_item.added", "content_part.added", "reasoning_text.delta"]
THOUGHT_END = ["reasoning_text.done", "content_part.done", "output_item.done"]


def test_a_text_has_all_its_events():
    events = stream(Token(text="a\u2028\n"), Token(text="é"), DONE)
    assert types(events) == [
        "created",
        "in_progress",
        *TEXT,
        "output_text.delta",
        *TEXT_END,
        "completed",
    ]
    created, _, added, part, first, second, done, part_done, item_done, completed = events
    response = completed["response"]
    name = f"msg_{response['id'].removeprefix('resp_')}_0"
    where = {"item_id": name, "output_index": 0, "content_index": 0}
    empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    full = {**empty, "text": "a\u2028\né"}
    item = {"id": name, "type": "message", "role": "assistant"}
    assert (created["response"]["status"], created["response"]["output"]) == ("in_progress", [])
    assert added["item"] == {**item, "status": "in_progress", "content": []}
    assert part == {"type": "response.content_part.added", **where, "part": empty}
    delta = {"type": "response.output_text.delta", **where, "logprobs": []}
    assert first == {**delta, "delta": "a\u2028\n"}
    assert second == {**delta, "delta": "é"}
    text_done = {"type": "response.output_text.done", **where, "logprobs": []}
    assert done == {**text_done, "text": full["text"]}
    assert part_done["part"] == full
    assert item_done["item"] == {**item, "status": "completed", "content": [full]}
    assert response["output"] == [item_done["item"]]
    assert response["status"] == "completed"
    assert response["usage"]["total_tokens"] == 13


def test_thinking_ends_where_something_else_begins():
    events = stream(ReasoningToken(text="h"), ReasoningToken(text="m"), Token(text="a"), DONE)
    assert types(events) == [
        "created",
        "in_progress",
        *THOUGHT,
        "reasoning_text.delta",
        *THOUGHT_END,
        *TEXT,
        *TEXT_END,
        "completed",
    ]
    thought, said = events[-1]["response"]["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert said["content"][0]["text"] == "a"
    assert [event["output_index"] for event in events if "output_index" in event] == [
        *([0] * 7),
        *([1] * 6),
    ]


def test_calls_have_their_arguments_in_parts_even_where_they_mix():
    events = stream(
        Token(text="a"),
        ToolCallDelta(index=0, id="c", name="f"),
        ToolCallDelta(index=0, arguments='{"a"'),
        ToolCallDelta(index=1, name="g", arguments="{}"),
        ToolCallDelta(index=0, arguments=":1}"),
        Done(finish_reason=FinishReason.TOOL_CALLS, usage=USAGE),
    )
    arguments = "function_call_arguments"
    assert types(events) == [
        "created",
        "in_progress",
        *TEXT,
        *TEXT_END,
        "output_item.added",
        f"{arguments}.delta",
        "output_item.added",
        f"{arguments}.delta",
        f"{arguments}.delta",
        f"{arguments}.done",
        "output_item.done",
        f"{arguments}.done",
        "output_item.done",
        "completed",
    ]
    name = events[-1]["response"]["id"].removeprefix("resp_")
    _, first, second = events[-1]["response"]["output"]
    assert (first["call_id"], first["arguments"]) == ("c", '{"a":1}')
    assert (second["call_id"], second["arguments"]) == (f"call_{name}_1", "{}")
    assert events[8]["item"] == {**first, "status": "in_progress", "arguments": ""}
    done = {
        event["item_id"]: event for event in events if event["type"].endswith(f"{arguments}.done")
    }
    assert done[first["id"]] == {
        "type": f"response.{arguments}.done",
        "item_id": first["id"],
        "output_index": 1,
        "name": "f",
        "arguments": '{"a":1}',
    }


def test_a_stream_has_the_same_response_as_one_piece():
    script = (
        ReasoningToken(text="hm"),
        Token(text="a"),
        ToolCallDelta(index=0, name="f", arguments="{}"),
        Done(finish_reason=FinishReason.TOOL_CALLS, usage=USAGE),
    )
    streamed = stream(*script)[-1]["response"]
    whole = post(FakeService(*script), RESPONSES).json()
    for response in (streamed, whole):
        name = response.pop("id").removeprefix("resp_")
        response.pop("created_at"), response.pop("completed_at")
        response["output"] = json.loads(json.dumps(response["output"]).replace(name, "X"))
    assert streamed == whole


def test_nothing_is_an_empty_message():
    events = stream(DONE)
    assert types(events) == [
        "created",
        "in_progress",
        *TEXT[:2],
        *TEXT_END,
        "completed",
    ]


def test_what_has_become_too_long_is_incomplete():
    events = stream(Token(text="a"), Done(finish_reason=FinishReason.LENGTH, usage=USAGE))
    assert events[-2]["item"]["status"] == "incomplete"
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_probabilities_stand_beside_the_deltas_and_in_the_end():
    likely = LikelyToken(id=1, piece=b"a", logprob=-0.5)
    logprobs = (TokenLogprobs(chosen=likely),)
    document = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
    events = stream(
        Token(text="a", logprobs=logprobs),
        Token(text="a"),
        Done(finish_reason=FinishReason.STOP, usage=USAGE, logprobs=logprobs),  # its own end's
        include=["message.output_text.logprobs"],
    )
    deltas = [each["logprobs"] for each in events if each["type"].endswith("text.delta")]
    assert deltas == [[document], []]
    (part,) = events[-1]["response"]["output"][0]["content"]
    assert part["logprobs"] == [document]


def test_a_late_failure_is_an_error_and_a_failed_response():
    events = stream(Token(text="a"), WorkerCrashedError("it died"))
    assert types(events)[-2:] == ["error", "failed"]
    assert events[-2] == {
        "type": "error",
        "code": "worker_crashed",
        "message": "it died",
        "param": None,
    }
    assert events[-1]["response"]["status"] == "failed"
    assert events[-1]["response"]["error"] == {"code": "server_error", "message": "it died"}
    assert events[-1]["response"]["output"] == []


def test_an_early_failure_has_its_status():
    response = post(FakeService(QueueFullError("full")), RESPONSES, stream=True)
    assert response.status_code == 429
    assert response.json()["error"]["code"] == "queue_full"
