# SPDX-License-Identifier: GPL-3.0-only
"""What a response in one piece looks like."""

from __future__ import annotations

from typing import Any

import pytest
from modeld_openai.responses.documents import OpenAIResponse
from openai_calls import RESPONSES, post

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

USAGE = Usage(prompt_tokens=9, completion_tokens=4, cached_tokens=5, reasoning_tokens=2)
DONE = Done(finish_reason=FinishReason.STOP, usage=USAGE)
LONG = Done(finish_reason=FinishReason.LENGTH, usage=USAGE)
FILTERED = Done(finish_reason=FinishReason.CONTENT_FILTER, usage=USAGE)
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}


def whole(*script: Any, **body: Any) -> dict[str, Any]:
    response = post(FakeService(*script), RESPONSES, **body)
    assert response.status_code == 200, response.text
    document = response.json()
    OpenAIResponse.model_validate(document, extra="forbid")
    return document


def test_a_text_in_one_piece():
    document = whole(Token(text="a"), Token(text="b\n"), DONE)
    name = document.pop("id").removeprefix("resp_")
    assert document.pop("created_at") > 1_700_000_000
    assert document.pop("completed_at") > 1_700_000_000
    assert document == {
        "object": "response",
        "model": "m",
        "status": "completed",
        "output": [
            {
                "id": f"msg_{name}_0",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [
                    {"type": "output_text", "text": "ab\n", "annotations": [], "logprobs": []}
                ],
            }
        ],
        "usage": {
            "input_tokens": 9,
            "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 0},
            "output_tokens": 4,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 13,
        },
        "error": None,
        "incomplete_details": None,
        "previous_response_id": None,
        "store": True,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": None,
        "user": None,
        "background": False,
        "service_tier": "default",
        "truncation": "disabled",
    }


def test_what_was_asked_for_is_repeated():
    asked = {
        "instructions": "be brief",
        "max_output_tokens": 5,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "store": False,
        "temperature": 0.5,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        "tools": [TOOL],
        "tool_choice": {"type": "function", "name": "f"},
        "top_p": 0.5,
        "user": "me",
    }
    document = whole(DONE, reasoning={"effort": "low"}, **asked)
    assert {name: document[name] for name in asked} == asked
    assert document["reasoning"] == {"effort": "low", "summary": None}


def test_thinking_text_and_calls_are_items_in_this_order():
    document = whole(
        ReasoningToken(text="hm"),
        Token(text="a"),
        ToolCallDelta(index=0, id="c", name="f", arguments="{}"),
        ToolCallDelta(index=1, name="g", arguments="{}"),
        Done(finish_reason=FinishReason.TOOL_CALLS, usage=USAGE),
    )
    name = document["id"].removeprefix("resp_")
    thought, said, first, second = document["output"]
    assert thought == {
        "id": f"rs_{name}_0",
        "type": "reasoning",
        "status": "completed",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "hm"}],
    }
    assert said["content"][0]["text"] == "a"
    assert first == {
        "id": f"fc_{name}_2",
        "type": "function_call",
        "status": "completed",
        "call_id": "c",
        "name": "f",
        "arguments": "{}",
    }
    assert (second["id"], second["call_id"]) == (f"fc_{name}_3", f"call_{name}_1")
    assert document["status"] == "completed"


@pytest.mark.parametrize(
    ("end", "reason"), [(LONG, "max_output_tokens"), (FILTERED, "content_filter")]
)
def test_what_is_cut_off_is_incomplete_and_so_is_its_last_item(end, reason):
    document = whole(ReasoningToken(text="hm"), Token(text="a"), end)
    assert document["status"] == "incomplete"
    assert document["incomplete_details"] == {"reason": reason}
    assert document["completed_at"] is None
    assert [item["status"] for item in document["output"]] == ["completed", "incomplete"]


def test_nothing_is_an_empty_message():
    (item,) = whole(DONE)["output"]
    assert (item["type"], item["content"][0]["text"]) == ("message", "")
    (item,) = whole(ReasoningToken(text="hm"), DONE)["output"]
    assert item["type"] == "reasoning"


def test_probabilities_are_there_where_they_are_wanted():
    likely = LikelyToken(id=1, piece=b"a", logprob=-0.5)
    document = whole(
        ReasoningToken(text="hm", logprobs=(TokenLogprobs(chosen=likely),)),
        Token(text="a", logprobs=(TokenLogprobs(chosen=likely, top=(likely,)),)),
        DONE,
        include=["message.output_text.logprobs"],
        top_logprobs=1,
    )
    token = {"token": "a", "logprob": -0.5, "bytes": [97]}
    (part,) = document["output"][1]["content"]
    assert part["logprobs"] == [{**token, "top_logprobs": [token]}]
