# SPDX-License-Identifier: GPL-3.0-only
"""Events of a stream become chunks, in all forms that servers have for them."""

from __future__ import annotations

import json

import pytest
from modeld_upstream.wire.events import EventSplitter
from modeld_upstream.wire.generation import Generation
from modeld_upstream.wire.logprobs import UNKNOWN_ID
from msgspec.structs import replace

from modeld import Done, FinishReason, GenerateRequest, Message, Token, Usage
from modeld.responses import LikelyToken, ToolCallDelta

CHAT = GenerateRequest(messages=(Message(role="user", content="Hi"),), stop=("###",))


def read(*documents: object, request: GenerateRequest = CHAT) -> tuple[list[object], Done]:
    reading = Generation(request, "there")
    pieces = [
        piece for document in documents for piece in reading.pieces(json.dumps(document).encode())
    ]
    return [*pieces], reading.done()


def choice(**members: object) -> dict[str, object]:
    return {"choices": [members]}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("tool_calls", FinishReason.TOOL_CALLS),
        ("eos_token", FinishReason.STOP),
    ],
)
def test_how_a_generation_ends_is_known(said: str, reason: FinishReason) -> None:
    assert read(choice(delta={}, finish_reason=said))[1].finish_reason is reason


def test_a_generation_with_calls_ends_with_them_whatever_the_server_says() -> None:
    call = {"function": {"name": "look", "arguments": "{}"}}
    pieces, done = read(choice(delta={"tool_calls": [call]}, finish_reason="stop"))
    assert pieces == [ToolCallDelta(index=0, name="look", arguments="{}")]
    assert done.finish_reason is FinishReason.TOOL_CALLS


def test_calls_without_numbers_are_counted() -> None:
    calls = [{"function": {"name": name, "arguments": "{}"}} for name in ("look", "see")]
    pieces, _ = read(choice(delta={"tool_calls": calls}))
    assert [piece.index for piece in pieces] == [0, 1]  # type: ignore[attr-defined]


def test_a_filter_that_ends_a_generation_is_told_of() -> None:
    _, done = read(choice(delta={}, finish_reason="content_filter"))
    assert done.finish_reason is FinishReason.CONTENT_FILTER


def test_the_stop_text_is_told_where_the_server_says_it() -> None:
    ended = choice(delta={}, finish_reason="stop", stop_reason="###")
    assert read(ended)[1].stop_text == "###"
    assert read(choice(delta={}, finish_reason="stop", stop_reason=7))[1].stop_text is None


def test_what_it_cost_is_taken_over_with_all_details() -> None:
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    _, done = read({"choices": [], "usage": usage})
    assert done.usage == Usage(
        prompt_tokens=9, completion_tokens=4, cached_tokens=8, reasoning_tokens=2
    )
    assert read(choice(delta={"content": "a"}))[1].usage == Usage(completion_tokens=1)


def test_probabilities_come_with_the_text_that_they_belong_to() -> None:
    likely = {"token": "a", "logprob": -0.5, "bytes": [97], "id": 5}
    held = {"content": [likely | {"token": "\ufffd", "bytes": [195], "top_logprobs": [likely]}]}
    pieces, _ = read(
        choice(delta={"content": ""}, logprobs=held),
        choice(delta={"content": "é"}, logprobs={"content": [likely | {"bytes": None}]}),
        request=replace(CHAT, logprobs=1),
    )
    (token,) = pieces
    assert isinstance(token, Token)
    first, second = token.logprobs
    assert first.chosen.piece == b"\xc3"
    assert first.top == (LikelyToken(id=5, piece=b"a", logprob=-0.5),)
    assert second.chosen.piece == b"a"


def test_probabilities_of_prompts_have_a_form_of_their_own() -> None:
    logprobs = {
        "tokens": ["a", "b"],
        "token_logprobs": [-0.1, None],
        "top_logprobs": [{"c": -3.0, "a": -0.1}, None],
    }
    pieces, _ = read(
        choice(text="ab", logprobs=logprobs), request=GenerateRequest(prompt="x", logprobs=1)
    )
    (token,) = pieces
    assert isinstance(token, Token)
    first, second = token.logprobs
    assert first.chosen == LikelyToken(id=UNKNOWN_ID, piece=b"a", logprob=-0.1)
    assert first.top == (first.chosen,)
    assert (second.chosen.logprob, second.top) == (-9999.0, ())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_events_are_put_together_from_any_pieces(size: int, line_end: str) -> None:
    stream = "".join(
        line + line_end
        for line in (
            ": alive",
            "",
            "event: message",
            "data: one",
            "",
            "data:two",
            "data: é",
            "",
            "data: cut",
        )
    ).encode()
    splitter = EventSplitter()
    found = [
        event
        for start in range(0, len(stream), size)
        for event in splitter.feed(stream[start : start + size])
    ]
    assert found == [b"one", "two\né".encode()]
