# SPDX-License-Identifier: GPL-3.0-only
"""What a chat's response looks like, as a stream and in one piece."""

from __future__ import annotations

from typing import Any

import pytest
from modeld_openai.chat.responses import ChatCompletion, ChatCompletionChunk
from modeld_openai.head import FINGERPRINT
from openai_calls import CHAT, REQUEST_ID, events, post

from modeld.errors import WorkerCrashedError
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
USAGE_DOCUMENT = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
LIKELY = LikelyToken(id=1, piece=b"\xc3", logprob=-0.5)
LOGPROBS = (TokenLogprobs(chosen=LIKELY, top=(LikelyToken(id=2, piece=b"b", logprob=-1e300),)),)
LOGPROBS_DOCUMENT = {
    "content": [
        {
            "token": "\ufffd",
            "logprob": -0.5,
            "bytes": [195],
            "top_logprobs": [{"token": "b", "logprob": -9999.0, "bytes": [98]}],
        }
    ],
    "refusal": None,
}


def stream(*script: Any, **body: Any) -> list[Any]:
    """Return the chunks of a stream that ended well, each checked for what all have."""
    response = post(FakeService(*script), CHAT, stream=True, **body)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *chunks, end = events(response)
    assert end == "[DONE]"
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, extra="forbid")
        head = {name: chunk.pop(name) for name in ("object", "model", "system_fingerprint", "id")}
        assert head == {
            "id": f"chatcmpl-{REQUEST_ID}",
            "object": "chat.completion.chunk",
            "model": "m",
            "system_fingerprint": FINGERPRINT,
        }
        assert chunk.pop("created") > 1_700_000_000
    return chunks


def part(delta: dict[str, Any], index: int = 0, **members: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
    return {"choices": [{**choice, **members}]}


ROLE = {"role": "assistant", "content": ""}


def whole(*script: Any, **body: Any) -> dict[str, Any]:
    response = post(FakeService(*script), CHAT, **body)
    assert response.status_code == 200
    document = response.json()
    ChatCompletion.model_validate(document, extra="forbid")
    return document


def test_a_stream_has_the_role_then_the_text_then_its_end():
    assert stream(Token(text="a\u2028\n"), Token(text="é"), DONE) == [
        part(ROLE),
        part({"content": "a\u2028\n"}),
        part({"content": "é"}),
        part({}, finish_reason="stop"),
    ]


def test_a_stream_without_text_has_its_role_too():
    assert stream(DONE) == [part(ROLE), part({}, finish_reason="stop")]


def test_the_usage_is_a_last_chunk_where_it_is_wanted():
    *chunks, last = stream(Token(text="a"), DONE, stream_options={"include_usage": True})
    assert chunks == [part(ROLE), part({"content": "a"}), part({}, finish_reason="stop")]
    assert last == {"choices": [], "usage": USAGE_DOCUMENT}


def test_thinking_and_calls_are_deltas_of_their_own():
    chunks = stream(
        ReasoningToken(text="hm"),
        ToolCallDelta(index=0, id="c", name="f"),
        ToolCallDelta(index=0, arguments='{"a"'),
        ToolCallDelta(index=1, name="g", arguments="{}"),
        Done(finish_reason=FinishReason.TOOL_CALLS, usage=USAGE),
    )
    made = f"call_{REQUEST_ID}_0_1"
    calls = [
        {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a"'}},
        {"index": 1, "id": made, "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert chunks == [
        part(ROLE),
        part({"reasoning_content": "hm"}),
        *(part({"tool_calls": [call]}) for call in calls),
        part({}, finish_reason="tool_calls"),
    ]


def test_probabilities_stand_beside_the_deltas():
    done = Done(finish_reason=FinishReason.LENGTH, usage=USAGE, logprobs=LOGPROBS)
    chunks = stream(Token(text="a", logprobs=LOGPROBS), done, logprobs=True, top_logprobs=1)
    assert chunks[1:] == [
        part({"content": "a"}, logprobs=LOGPROBS_DOCUMENT),
        part({}, finish_reason="length"),
    ]


def of(*pieces: str) -> tuple[TokenLogprobs, ...]:
    chosen = (LikelyToken(id=1, piece=piece.encode(), logprob=-0.5) for piece in pieces)
    return tuple(TokenLogprobs(chosen=each) for each in chosen)


MIXED = (
    ReasoningToken(text="hm", logprobs=of("<think>", "hm")),
    Token(text="a", logprobs=of("</", "think>", "\n", "a")),
    Token(text=" b", logprobs=of(" ", "b")),
    ToolCallDelta(index=0, name="f", logprobs=of("<tool_call>", "f")),
    Token(text="c", logprobs=of("</tool_call>", "c")),
    Done(finish_reason=FinishReason.STOP, usage=USAGE, logprobs=of("</s>")),
)


def test_only_the_content_has_probabilities():
    chunks = stream(*MIXED, logprobs=True)
    streamed = [each["choices"][0]["logprobs"] for each in chunks[1:]]
    whole_one = whole(*MIXED, logprobs=True)["choices"][0]["logprobs"]
    tokens = [[each["token"] for each in said["content"]] if said else None for said in streamed]
    assert tokens == [None, ["a"], [" ", "b"], None, ["c"], None]
    assert whole_one["content"] == [each for said in streamed if said for each in said["content"]]


def test_each_choice_has_its_role_its_text_and_its_end():
    chunks = stream(Token(text="a"), DONE, n=3, stream_options={"include_usage": True})
    *parts, last = chunks
    for index in range(3):
        mine = [{**each["choices"][0]} for each in parts if each["choices"][0]["index"] == index]
        assert [each["delta"] for each in mine] == [ROLE, {"content": "a"}, {}]
        assert mine[-1]["finish_reason"] == "stop"
    assert last["usage"]["prompt_tokens"] == 9
    assert last["usage"]["completion_tokens"] == 12


def test_a_late_failure_is_the_last_event():
    response = post(FakeService(Token(text="a"), WorkerCrashedError("it died")), CHAT, stream=True)
    assert response.status_code == 200
    assert events(response)[-1] == {
        "error": {
            "message": "it died",
            "type": "server_error",
            "param": None,
            "code": "worker_crashed",
        }
    }


def test_one_piece_has_all():
    document = whole(Token(text="a"), Token(text="b\n"), DONE)
    assert document.pop("created") > 1_700_000_000
    assert document == {
        "id": f"chatcmpl-{REQUEST_ID}",
        "object": "chat.completion",
        "model": "m",
        "system_fingerprint": FINGERPRINT,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ab\n", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE_DOCUMENT,
    }


def test_one_piece_has_thinking_and_calls():
    document = whole(
        ReasoningToken(text="hm"),
        ToolCallDelta(index=0, id="c", name="f"),
        ToolCallDelta(index=0, arguments="{}"),
        ToolCallDelta(index=1, name="g", arguments="{}"),
        Done(finish_reason=FinishReason.TOOL_CALLS, usage=USAGE),
    )
    (choice,) = document["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {
                "id": f"call_{REQUEST_ID}_0_1",
                "type": "function",
                "function": {"name": "g", "arguments": "{}"},
            },
        ],
    }


def test_one_piece_without_text_has_an_empty_one():
    assert whole(DONE)["choices"][0]["message"]["content"] == ""


def test_one_piece_has_probabilities_where_they_are_wanted():
    document = whole(Token(text="a", logprobs=LOGPROBS), DONE, logprobs=True, top_logprobs=1)
    assert document["choices"][0]["logprobs"] == LOGPROBS_DOCUMENT
    assert whole(DONE, logprobs=True)["choices"][0]["logprobs"] == {"content": [], "refusal": None}


def test_one_piece_has_all_choices():
    document = whole(Token(text="a"), DONE, n=2)
    assert [each["index"] for each in document["choices"]] == [0, 1]
    assert document["usage"]["prompt_tokens"] == 9
    assert document["usage"]["completion_tokens"] == 8


@pytest.mark.parametrize("characters", [65_535, 65_536, 300_000])
def test_a_long_text_arrives_as_it_was(characters):
    text = ('é\u2028\n"' * characters)[:characters]
    assert whole(Token(text=text), DONE)["choices"][0]["message"]["content"] == text


def test_the_same_is_served_without_the_version():
    import asyncio

    from modeld.settings import Settings
    from tests.support.http.fake_service import client_of, make_app

    async def go() -> int:
        async with client_of(make_app(FakeService(), Settings(default_model="m"))) as client:
            body = {"messages": [{"role": "user", "content": "hi"}]}
            return (await client.post("/chat/completions", json=body)).status_code

    assert asyncio.run(go()) == 200
